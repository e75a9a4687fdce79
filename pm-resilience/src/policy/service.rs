use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::OperationName;
use super::core::{Guarded, Task};
use super::hold::Owned;
use crate::oneshot::Oneshot;
use crate::retry::{ReplayBody, Source};
use crate::{ByMethod, ClassOf, Classify, Deadline, Error, deadline};

/// What [`PolicyLayer`](super::PolicyLayer) builds.
///
/// It is always ready: that the inner service is not is part of an attempt.
pub struct PolicyService<S, C, K = ByMethod> {
    inner: S,
    hold: Owned<C>,
    class_of: K,
}

impl<S, C, K> PolicyService<S, C, K> {
    pub(super) const fn new(inner: S, hold: Owned<C>, class_of: K) -> Self {
        Self {
            inner,
            hold,
            class_of,
        }
    }
}

impl<S, C, K, B, ResBody> Service<Request<B>> for PolicyService<S, C, K>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    C: Classify<Response<ResBody>, S::Error>,
    K: ClassOf<Request<B>>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, B, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let OperationName(operation) =
            *(request.extensions().get()).unwrap_or(&OperationName("http"));
        let class = self.class_of.class_of(&request);
        let deadline = Deadline::of(request.extensions());
        ResponseFuture {
            task: Task {
                operation,
                class,
                // Known once its body has been read.
                repeatable: false,
            },
            source: Source::new(self.inner.clone(), request),
            guarded: Guarded::new(self.hold.clone(), deadline),
        }
    }
}

impl<S: Clone, C, K: Clone> Clone for PolicyService<S, C, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.hold.clone(), self.class_of.clone())
    }
}

impl<S: fmt::Debug, C, K> fmt::Debug for PolicyService<S, C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyService")
            .field("inner", &self.inner)
            .field("policy", &self.hold.name)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A request under a policy. Dropping it drops the attempt that is under way, or the wait.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, B, C>
    where
        S: Service<Request<ReplayBody<B>>>,
        B: Body,
    {
        task: Task,
        source: Source<S, B>,
        #[pin]
        guarded: Guarded<Owned<C>, Oneshot<S, Request<ReplayBody<B>>>>,
    }
}

impl<S, B, C, ResBody> Future for ResponseFuture<S, B, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    C: Classify<Response<ResBody>, S::Error>,
{
    type Output = Result<S::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        ready!(this.source.poll_kept(cx));
        let task = Task {
            repeatable: this.source.is_kept(),
            ..*this.task
        };
        this.guarded.poll(cx, task, |left| {
            this.source.attempt(|headers| {
                if let Some(left) = left {
                    deadline::write(headers, left);
                }
            })
        })
    }
}

impl<S, B, C> fmt::Debug for ResponseFuture<S, B, C>
where
    S: Service<Request<ReplayBody<B>>>,
    B: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("policy", &self.guarded.hold().name)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}
