use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;
use pm_core::clock::Sleep;
use tower_service::Service;

use super::body::{Keeping, Kept};
use super::{Idempotent, ReplayBody, Retry};
use crate::oneshot::Oneshot;
use crate::{Classify, Deadline};

pin_project! {
    /// A request that is made once, or until it is given up. Dropping it drops the attempt that is
    /// under way, or the wait.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, B, C>
    where
        S: Service<Request<ReplayBody<B>>>,
        B: Body,
    {
        service: S,
        retry: Retry,
        classify: C,
        deadline: Option<Deadline>,
        attempt: u32,
        // What a further attempt is made from.
        again: Option<(request::Parts, Kept)>,
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
        B: Body,
    {
        // The parts are only gone when the state is left.
        Keeping { parts: Option<request::Parts>, keeping: Keeping<B> },
        Calling { #[pin] inner: Oneshot<S, Request<ReplayBody<B>>> },
        Waiting { #[pin] sleep: Sleep },
    }
}

impl<S, B, C> ResponseFuture<S, B, C>
where
    S: Service<Request<ReplayBody<B>>> + Clone,
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(service: S, retry: Retry, classify: C, request: Request<B>) -> Self {
        retry.begin();
        let deadline = Deadline::of(request.extensions());
        let repeatable = Idempotent::holds_for(&request);
        let (parts, body) = request.into_parts();
        let keeping = if repeatable {
            Keeping::new(body)
        } else {
            Err(body)
        };
        let state = match keeping {
            Ok(keeping) => State::Keeping {
                parts: Some(parts),
                keeping,
            },
            Err(body) => {
                let request = Request::from_parts(parts, ReplayBody::passing(body));
                State::calling(&service, request)
            }
        };
        Self {
            service,
            retry,
            classify,
            deadline,
            attempt: 1,
            again: None,
            state,
        }
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<ReplayBody<B>>> + Clone,
    B: Body,
{
    fn calling(service: &S, request: Request<ReplayBody<B>>) -> Self {
        Self::Calling {
            inner: Oneshot::new(service.clone(), request),
        }
    }
}

impl<S, B, C, ResBody> Future for ResponseFuture<S, B, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    C: Classify<Response<ResBody>, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Keeping { parts, keeping } => {
                    let kept = ready!(keeping.poll(cx));
                    let parts = parts.take().expect("kept once, and the state is left");
                    let body = match kept {
                        Ok(kept) => {
                            let body = ReplayBody::kept(&kept);
                            *this.again = Some((parts.clone(), kept));
                            body
                        }
                        Err(body) => body,
                    };
                    State::calling(this.service, Request::from_parts(parts, body))
                }
                StateProj::Calling { inner } => {
                    let result = ready!(inner.poll(cx));
                    if this.again.is_none() {
                        return Poll::Ready(result);
                    }
                    let outcome = this.classify.classify(result.as_ref());
                    match this.retry.decide(*this.attempt, outcome, *this.deadline) {
                        Err(_) => return Poll::Ready(result),
                        Ok(again) => State::Waiting {
                            sleep: this.retry.clock().sleep_until(again),
                        },
                    }
                }
                StateProj::Waiting { sleep } => {
                    ready!(sleep.poll(cx));
                    *this.attempt += 1;
                    let (parts, kept) = this.again.as_ref().expect("else it is not retried");
                    let request = Request::from_parts(parts.clone(), ReplayBody::kept(kept));
                    State::calling(this.service, request)
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B, C> fmt::Debug for ResponseFuture<S, B, C>
where
    S: Service<Request<ReplayBody<B>>>,
    B: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("retry", &self.retry.name())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
