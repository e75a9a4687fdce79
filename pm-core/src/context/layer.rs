use tower_layer::Layer;

use super::ContextService;
use crate::Clock;

/// Gives every request a [`Context`](super::Context); see the [module documentation](super).
///
/// The response carries the id in `x-request-id`, replacing one set further in. The span is named
/// `request`, level `INFO`, with the fields `request_id` and, inside a trace, `trace_id`; it has
/// neither path nor query, which may hold what must not be logged.
#[derive(Clone, Debug)]
pub struct ContextLayer {
    clock: Clock,
}

impl ContextLayer {
    /// A layer whose new request ids have the time of `clock`.
    #[must_use]
    pub const fn new(clock: Clock) -> Self {
        Self { clock }
    }
}

impl<S> Layer<S> for ContextLayer {
    type Service = ContextService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ContextService::new(inner, self.clock.clone())
    }
}
