use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use pm_core::clock::Sleep;
use tower_service::Service;

use super::core::{Guarded, Task, earlier};
use super::hold::{Hold, Owned};
use crate::breaker::{Head, Until};
use crate::oneshot::Oneshot;
use crate::retry::{ReplayBody, Source};
use crate::slow_log::{ByExtension, OperationName, OperationOf};
use crate::{ByMethod, ClassOf, Deadline, Error, TimedOut, deadline};

/// What [`PolicyLayer`](super::PolicyLayer) builds.
///
/// It is always ready: that the inner service is not is part of an attempt.
pub struct PolicyService<S, C, K = ByMethod, U = Head> {
    inner: S,
    hold: Owned<C>,
    class_of: K,
    until: PhantomData<fn() -> U>,
}

impl<S, C, K, U> PolicyService<S, C, K, U> {
    pub(super) const fn new(inner: S, hold: Owned<C>, class_of: K) -> Self {
        Self {
            inner,
            hold,
            class_of,
            until: PhantomData,
        }
    }
}

impl<S, C, K, U, B, ResBody> Service<Request<B>> for PolicyService<S, C, K, U>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    U: Until<C, Response<ResBody>, S::Error, Owned<C>>,
    K: ClassOf<Request<B>>,
{
    type Response = U::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, B, C, U>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let OperationName(operation) = ByExtension.operation_of(&request);
        let class = self.class_of.class_of(&request);
        let deadline = Deadline::of(request.extensions());
        ResponseFuture {
            task: Task {
                operation,
                class,
                priority: request.extensions().get().copied().unwrap_or_default(),
                // Known once its body has been read.
                repeatable: false,
            },
            source: Source::new(
                self.inner.clone(),
                request,
                self.hold.parts().retry.is_some(),
            ),
            deadline,
            reading: None,
            cut: TimedOut::new(class, self.hold.parts().timeout.of(class)),
            guarded: Guarded::new(self.hold.clone(), deadline),
            until: PhantomData,
        }
    }
}

impl<S: Clone, C, K: Clone, U> Clone for PolicyService<S, C, K, U> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.hold.clone(), self.class_of.clone())
    }
}

impl<S: fmt::Debug, C, K, U> fmt::Debug for PolicyService<S, C, K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyService")
            .field("inner", &self.inner)
            .field("policy", &self.hold.parts().name)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A request under a policy. A body that is kept for retries is read before the first attempt,
    /// and has the time of one for that, or what the deadline leaves of it; one that stalls ends with
    /// [`Error::TimedOut`], which the breaker hears nothing of. Dropping it drops the attempt that is under way, or the wait.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, B, C, U = Head>
    where
        S: Service<Request<ReplayBody<B>>>,
        B: Body,
    {
        task: Task,
        source: Source<S, B>,
        deadline: Option<Deadline>,
        // How long a body may take that is read before the first attempt.
        #[pin]
        reading: Option<Sleep>,
        cut: TimedOut,
        #[pin]
        guarded: Guarded<Owned<C>, Oneshot<S, Request<ReplayBody<B>>>>,
        until: PhantomData<fn() -> U>,
    }
}

impl<S, B, C, U, ResBody> Future for ResponseFuture<S, B, C, U>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    U: Until<C, Response<ResBody>, S::Error, Owned<C>>,
{
    type Output = Result<U::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.source.poll_kept(cx).is_pending() {
            if this.reading.is_none() {
                let clock = &this.guarded.hold().parts().clock;
                let now = clock.now();
                let deadline = earlier(*this.deadline, Deadline::current());
                let left = deadline.map_or(Duration::MAX, |deadline| deadline.remaining(now));
                *this.cut = TimedOut::new(this.task.class, left.min(this.cut.after()));
                let sleep = clock.sleep_until(now + this.cut.after());
                this.reading.set(Some(sleep));
            }
            let timer = this.reading.as_pin_mut().expect("made above");
            ready!(timer.poll(cx));
            this.guarded.hold().parts().metrics.timed_out();
            return Poll::Ready(Err((*this.cut).into()));
        }
        this.reading.set(None);
        let task = Task {
            repeatable: this.source.is_kept(),
            ..*this.task
        };
        this.guarded.poll::<U>(cx, task, |left| {
            this.source.attempt(|headers| {
                if let Some(left) = left {
                    deadline::write(headers, left);
                }
            })
        })
    }
}

impl<S, B, C, U> fmt::Debug for ResponseFuture<S, B, C, U>
where
    S: Service<Request<ReplayBody<B>>>,
    B: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("policy", &self.guarded.hold().parts().name)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}
