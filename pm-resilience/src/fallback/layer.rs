use std::fmt;

use tower_layer::Layer;

use super::{Fallback, FallbackService};

/// Answers errors of the inner service with something else. Made by [`Fallback::layer`].
#[derive(Clone)]
pub struct FallbackLayer<A> {
    fallback: Fallback,
    alternative: A,
}

impl<A> FallbackLayer<A> {
    pub(super) const fn new(fallback: Fallback, alternative: A) -> Self {
        Self {
            fallback,
            alternative,
        }
    }
}

impl<S, A: Clone> Layer<S> for FallbackLayer<A> {
    type Service = FallbackService<S, A>;

    fn layer(&self, inner: S) -> FallbackService<S, A> {
        FallbackService::new(inner, self.fallback.clone(), self.alternative.clone())
    }
}

impl<A> fmt::Debug for FallbackLayer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer")
            .field("fallback", &self.fallback)
            .finish_non_exhaustive()
    }
}
