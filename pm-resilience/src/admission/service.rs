use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::gate::Entry;
use super::layer::Door;
use super::{Gate, PermitBody, ResponseFuture};

/// What [`AdmissionLayer`](super::AdmissionLayer) builds.
///
/// It is ready when the inner service is, and decides when it is called: a connection that is kept
/// open holds nothing. A refusal drops the inner service that was ready.
pub struct Admission<G, S> {
    inner: S,
    door: Arc<Door<G>>,
}

impl<G, S> Admission<G, S> {
    pub(super) const fn new(inner: S, door: Arc<Door<G>>) -> Self {
        Self { inner, door }
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

impl<G, S: Clone> Admission<G, S> {
    /// The inner service that is ready; a clone that is not takes its place.
    fn take_ready(&mut self) -> S {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }
}

impl<G, S, B, ResBody> Service<Request<B>> for Admission<G, S>
where
    G: Gate,
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
{
    type Response = Response<PermitBody<G, ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<G, S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.door.gate.admit(request.extensions()) {
            Entry::Admitted(permit) => {
                let until = self.door.until;
                ResponseFuture::calling(self.inner.call(request), permit, until)
            }
            Entry::Waiting(wait) => {
                let waiting = (self.take_ready(), request);
                ResponseFuture::waiting(wait, waiting, Arc::clone(&self.door))
            }
            Entry::Refused(rejection) => {
                drop(self.take_ready());
                ResponseFuture::refused(self.door.refuse(&rejection))
            }
        }
    }
}

/// Without asking for `G: Clone`: the gate is shared.
impl<G, S: Clone> Clone for Admission<G, S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            door: Arc::clone(&self.door),
        }
    }
}

impl<G: fmt::Debug, S: fmt::Debug> fmt::Debug for Admission<G, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("inner", &self.inner)
            .field("gate", &self.door.gate)
            .finish()
    }
}
