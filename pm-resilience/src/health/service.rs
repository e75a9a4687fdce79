use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{Health, Probe};

/// Answers one probe, whatever it is asked; made by [`Health::service`].
///
/// Always ready, and answered when it is called. With axum:
/// `router.route_service("/health/ready", health.service(Probe::Ready))`.
#[derive(Clone, Debug)]
pub struct HealthService {
    health: Health,
    probe: Probe,
}

impl HealthService {
    pub(super) const fn new(health: Health, probe: Probe) -> Self {
        Self { health, probe }
    }
}

impl<B> Service<Request<B>> for HealthService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(self.health.answer(self.probe)))
    }
}
