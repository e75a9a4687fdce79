use std::task::{Context, Poll, Waker};

use tower::util::ServiceFn;
use tower::{Service, service_fn};

use super::call::{Ended, Guarded, Inner, Subject};

/// A breaker that is a layer.
pub(super) struct Layered<S, E> {
    pub(super) service: S,
    pub(super) rejects: fn(&E) -> bool,
}

impl<S, E> Subject for Layered<S, E>
where
    S: Service<Inner, Response = (), Error = E, Future: 'static> + Clone,
    E: 'static,
{
    fn guard(&self, inner: Inner) -> Guarded {
        let mut service = self.service.clone();
        // Nobody here is not ready, whether open or not: those that are open reject the call.
        let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ready, Poll::Ready(Ok(()))), "it is ready");
        let (call, rejects) = (service.call(inner), self.rejects);
        Box::pin(async move {
            match call.await {
                Err(error) if rejects(&error) => Ended::Rejected,
                _ => Ended::Answered,
            }
        })
    }
}

pub(super) type Called = ServiceFn<fn(Inner) -> Inner>;

pub(super) fn called() -> Called {
    service_fn(|inner| inner)
}
