use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::Hedge;
use super::race::Race;
use crate::oneshot::Oneshot;
use crate::{Class, ClassOf, Classify};

/// What [`HedgeLayer`](super::HedgeLayer) builds.
///
/// It is always ready: that the inner service is not is part of an attempt. Requests are cloned.
#[derive(Clone, Debug)]
pub struct HedgeService<S, K, C> {
    inner: S,
    hedge: Hedge,
    class_of: K,
    classify: C,
}

impl<S, K, C> HedgeService<S, K, C> {
    pub(super) const fn new(inner: S, hedge: Hedge, class_of: K, classify: C) -> Self {
        Self {
            inner,
            hedge,
            class_of,
            classify,
        }
    }
}

impl<S, K, C, Req> Service<Req> for HedgeService<S, K, C>
where
    S: Service<Req> + Clone,
    Req: Clone,
    K: ClassOf<Req>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let service = self.inner.clone();
        let state = match self.class_of.class_of(&request) {
            Class::Read => State::Hedged {
                service,
                request,
                hedge: self.hedge.clone(),
                classify: self.classify.clone(),
                race: Race::new(),
            },
            _ => State::Once {
                inner: Oneshot::new(service, request),
            },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// A request that may be made twice. Dropping it drops both attempts.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, Req, C>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, C>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, C>
    where
        S: Service<Req>,
    {
        Once {
            #[pin]
            inner: Oneshot<S, Req>,
        },
        Hedged {
            service: S,
            request: Req,
            hedge: Hedge,
            classify: C,
            #[pin]
            race: Race<Oneshot<S, Req>>,
        },
    }
}

impl<S, Req, C> Future for ResponseFuture<S, Req, C>
where
    S: Service<Req> + Clone,
    Req: Clone,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Once { inner } => inner.poll(cx),
            StateProj::Hedged {
                service,
                request,
                hedge,
                classify,
                race,
            } => race.poll(cx, hedge, classify, || {
                Oneshot::new(service.clone(), request.clone())
            }),
        }
    }
}

impl<S: Service<Req>, Req, C> fmt::Debug for ResponseFuture<S, Req, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
