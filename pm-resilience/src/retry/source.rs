use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, request};
use http_body::Body;
use tower_service::Service;

use super::body::{Keeping, Kept};
use super::{Idempotent, ReplayBody};
use crate::oneshot::Oneshot;

/// What attempts are made from: a service, and a request that is kept if it may be made again.
pub(crate) struct Source<S, B: Body> {
    service: S,
    request: Origin<B>,
}

enum Origin<B: Body> {
    /// Its body is being read.
    Keeping(request::Parts, Keeping<B>),
    Kept(request::Parts, Kept),
    Once(Request<ReplayBody<B>>),
    Spent,
}

impl<S, B> Source<S, B>
where
    S: Service<Request<ReplayBody<B>>> + Clone,
    B: Body<Data = Bytes> + Unpin,
{
    /// `retried` is whether anybody would make it again.
    pub(crate) fn new(service: S, request: Request<B>, retried: bool) -> Self {
        let repeatable = retried && Idempotent::holds_for(&request);
        let (parts, body) = request.into_parts();
        let keeping = if repeatable {
            Keeping::new(body)
        } else {
            Err(body)
        };
        let request = match keeping {
            Ok(keeping) => Origin::Keeping(parts, keeping),
            Err(body) => Origin::Once(Request::from_parts(parts, ReplayBody::passing(body))),
        };
        Self { service, request }
    }

    /// Reads the body, where it has to be read before the first attempt.
    pub(crate) fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Origin::Keeping(_, keeping) = &mut self.request else {
            return Poll::Ready(());
        };
        let kept = ready!(keeping.poll(cx));
        if let Origin::Keeping(parts, _) = mem::replace(&mut self.request, Origin::Spent) {
            self.request = match kept {
                Ok(kept) => Origin::Kept(parts, kept),
                Err(body) => Origin::Once(Request::from_parts(parts, body)),
            };
        }
        Poll::Ready(())
    }

    /// Keeps the body no longer, if it is not kept by now: it is sent once, as it comes.
    pub(crate) fn pass_on(&mut self) {
        self.request = match mem::replace(&mut self.request, Origin::Spent) {
            Origin::Keeping(parts, mut keeping) => {
                Origin::Once(Request::from_parts(parts, keeping.pass_on(None)))
            }
            other => other,
        };
    }

    /// Whether there can be an attempt behind this one.
    pub(crate) const fn is_kept(&self) -> bool {
        matches!(self.request, Origin::Kept(..))
    }

    /// One attempt, whose headers `prepare` may change.
    ///
    /// # Panics
    ///
    /// If the body was not read yet, or the request was not kept and is gone.
    pub(crate) fn attempt(
        &mut self,
        prepare: impl FnOnce(&mut HeaderMap),
    ) -> Oneshot<S, Request<ReplayBody<B>>> {
        let mut request = match mem::replace(&mut self.request, Origin::Spent) {
            Origin::Kept(parts, kept) => {
                let request = Request::from_parts(parts.clone(), ReplayBody::kept(&kept));
                self.request = Origin::Kept(parts, kept);
                request
            }
            Origin::Once(request) => request,
            Origin::Keeping(..) => panic!("the body is read before the first attempt"),
            Origin::Spent => panic!("a request that was not kept is made once"),
        };
        prepare(request.headers_mut());
        Oneshot::new(self.service.clone(), request)
    }
}
