use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ReplayBody, ResponseFuture, Retry};
use crate::Classify;

/// What [`RetryLayer`](super::RetryLayer) builds.
///
/// It is always ready: that the inner service is not is part of an attempt.
#[derive(Clone, Debug)]
pub struct RetryService<S, C> {
    inner: S,
    retry: Retry,
    classify: C,
}

impl<S, C> RetryService<S, C> {
    pub(super) const fn new(inner: S, retry: Retry, classify: C) -> Self {
        Self {
            inner,
            retry,
            classify,
        }
    }
}

impl<S, C, B, ResBody> Service<Request<B>> for RetryService<S, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<ResBody>> + Clone,
    B: Body<Data = Bytes> + Unpin,
    C: Classify<Response<ResBody>, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let classify = self.classify.clone();
        ResponseFuture::new(self.inner.clone(), self.retry.clone(), classify, request)
    }
}
