use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use pm_core::clock::Sleep;
use tower_service::Service;

use super::{BUFFERED_WITHIN, ReplayBody, Retry, Source};
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
        source: Source<S, B>,
        retry: Retry,
        classify: C,
        deadline: Option<Deadline>,
        attempt: u32,
        #[pin]
        state: State<Oneshot<S, Request<ReplayBody<B>>>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Keeping {
            #[pin]
            timer: Option<Sleep>,
        },
        Calling { #[pin] inner: F },
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
        Self {
            deadline: Deadline::of(request.extensions()),
            source: Source::new(service, request, true),
            retry,
            classify,
            attempt: 0,
            state: State::Keeping { timer: None },
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
            match this.state.as_mut().project() {
                StateProj::Keeping { mut timer } => {
                    if this.source.poll_kept(cx).is_pending() {
                        if timer.is_none() {
                            let clock = this.retry.clock();
                            let end = clock.now() + BUFFERED_WITHIN;
                            let until = this
                                .deadline
                                .map_or(end, |deadline| deadline.moment().min(end));
                            timer.set(Some(clock.sleep_until(until)));
                        }
                        ready!(timer.as_pin_mut().expect("made above").poll(cx));
                        this.source.pass_on();
                    }
                }
                StateProj::Waiting { sleep } => ready!(sleep.poll(cx)),
                StateProj::Calling { inner } => {
                    let result = ready!(inner.poll(cx));
                    if !this.source.is_kept() {
                        return Poll::Ready(result);
                    }
                    let outcome = this.classify.classify(result.as_ref());
                    let decision = this.retry.decide(*this.attempt, outcome, *this.deadline);
                    let Ok(again) = decision else {
                        return Poll::Ready(result);
                    };
                    let sleep = this.retry.clock().sleep_until(again);
                    this.state.set(State::Waiting { sleep });
                    continue;
                }
            }
            *this.attempt += 1;
            let inner = this.source.attempt(|_| {});
            this.state.set(State::Calling { inner });
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
