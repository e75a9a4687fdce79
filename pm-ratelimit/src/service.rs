use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pm_core::ResponseBody;
use tower_service::Service;

use crate::future::ResponseFuture;
use crate::layer::{Admission, Answer, Step};

/// What [`RateLimitLayer`](crate::RateLimitLayer) builds.
///
/// It is ready when the inner service is, and decides when it is called: a connection that is kept
/// open holds nothing. A refusal drops the inner service that was ready, so that what it had
/// reserved is free again.
#[derive(Clone)]
pub struct RateLimit<S> {
    inner: S,
    admission: Arc<Admission>,
}

impl<S> RateLimit<S> {
    pub(crate) const fn new(inner: S, admission: Arc<Admission>) -> Self {
        Self { inner, admission }
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone> RateLimit<S> {
    /// The inner service that is ready; a clone that is not takes its place.
    fn take_ready(&mut self) -> S {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }
}

impl<S, B, ResBody> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admission.decide(&request) {
            Step::Answered(Answer::Admitted(fields)) => {
                ResponseFuture::calling(self.inner.call(request), fields)
            }
            Step::Pending(decision) => {
                let admission = Arc::clone(&self.admission);
                let waiting = (self.take_ready(), request);
                ResponseFuture::deciding(decision, waiting, admission)
            }
            Step::Answered(Answer::Refused(response)) => {
                drop(self.take_ready());
                ResponseFuture::refused(response)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for RateLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("limiter", &self.admission.limiter)
            .finish_non_exhaustive()
    }
}
