use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{OperationName, OperationOf, Run, SlowLog};
use crate::ClassOf;
use crate::oneshot::Oneshot;

/// What [`SlowLogLayer`](super::SlowLogLayer) builds.
///
/// It is always ready: that the inner service is not is part of the operation, and of its time.
#[derive(Clone)]
pub struct SlowLogService<S, O, K> {
    inner: S,
    log: SlowLog,
    operation_of: O,
    class_of: K,
}

impl<S, O, K> SlowLogService<S, O, K> {
    pub(super) const fn new(inner: S, log: SlowLog, operation_of: O, class_of: K) -> Self {
        Self {
            inner,
            log,
            operation_of,
            class_of,
        }
    }
}

impl<S, O, K, Req> Service<Req> for SlowLogService<S, O, K>
where
    S: Service<Req> + Clone,
    O: OperationOf<Req>,
    K: ClassOf<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let OperationName(operation) = self.operation_of.operation_of(&request);
        let class = self.class_of.class_of(&request);
        let call = Oneshot::new(self.inner.clone(), request);
        ResponseFuture {
            run: self.log.run(operation, class, call),
        }
    }
}

impl<S: fmt::Debug, O, K> fmt::Debug for SlowLogService<S, O, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowLogService")
            .field("inner", &self.inner)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A request that is told of if it was slow. Dropping it drops the inner service's future, and
    /// nothing is told.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        run: Run<Oneshot<S, Req>>,
    }
}

impl<S: Service<Req>, Req> Future for ResponseFuture<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<S: Service<Req>, Req> fmt::Debug for ResponseFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
