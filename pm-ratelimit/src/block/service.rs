use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pm_core::ResponseBody;
use tower_service::Service;

use super::ResponseFuture;
use super::layer::Admission;

/// What [`BlockLayer`](super::BlockLayer) builds.
///
/// It is ready when the inner service is, and looks the address up when it is called. A refusal drops
/// the inner service that was ready.
#[derive(Clone)]
pub struct Block<S> {
    inner: S,
    admission: Arc<Admission>,
}

impl<S> Block<S> {
    pub(super) const fn new(inner: S, admission: Arc<Admission>) -> Self {
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

impl<S, B, ResBody> Service<Request<B>> for Block<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.admission.refuse(&request) {
            None => ResponseFuture::calling(self.inner.call(request)),
            Some(response) => {
                // The inner service that is ready is dropped; a clone that is not takes its place.
                let clone = self.inner.clone();
                drop(mem::replace(&mut self.inner, clone));
                ResponseFuture::refused(response)
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Block<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
