use tower_layer::Layer;

use super::{Timeout, TimeoutService};

/// Times each request by its class. Made by [`Timeout::layer`].
#[derive(Clone, Debug)]
pub struct TimeoutLayer<K> {
    timeout: Timeout,
    class_of: K,
}

impl<K> TimeoutLayer<K> {
    pub(super) const fn new(timeout: Timeout, class_of: K) -> Self {
        Self { timeout, class_of }
    }
}

impl<S, K: Clone> Layer<S> for TimeoutLayer<K> {
    type Service = TimeoutService<S, K>;

    fn layer(&self, inner: S) -> TimeoutService<S, K> {
        TimeoutService::new(inner, self.timeout.clone(), self.class_of.clone())
    }
}
