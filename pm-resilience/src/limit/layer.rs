use std::fmt;

use tower_layer::Layer;

use super::{Limit, LimitService};
use crate::classify::Errors;

/// Makes outgoing calls only with a permit of a [`Limit`], or of a [`Shed`](crate::Shed) by
/// [priority](crate::shed::ShedLayer). Who gets none is rejected; nobody waits.
///
/// All services that it builds share the limit. The permit of a call is freed when its response is
/// ready, or has failed, or is not wanted any more; what that says to the limit is as the classifier
/// says. Without [`with_classifier`](Self::with_classifier), every `Ok` is a success and every `Err` was
/// lost. Around layers that reject, such as a breaker's, classify with
/// [`Guarded`](crate::classify::Guarded).
#[derive(Clone)]
pub struct LimitLayer<G = Limit, C = Errors> {
    permits: G,
    classify: C,
}

impl<G> LimitLayer<G> {
    /// With the permits of this limit.
    #[must_use]
    pub const fn new(permits: G) -> Self {
        Self {
            permits,
            classify: Errors,
        }
    }
}

impl<G, C> LimitLayer<G, C> {
    /// The same, where `classify` says what a result says: a [`Classify`](crate::Classify).
    #[must_use]
    pub fn with_classifier<D>(self, classify: D) -> LimitLayer<G, D> {
        LimitLayer {
            permits: self.permits,
            classify,
        }
    }
}

impl<S, G: Clone, C: Clone> Layer<S> for LimitLayer<G, C> {
    type Service = LimitService<S, G, C>;

    fn layer(&self, inner: S) -> LimitService<S, G, C> {
        LimitService::new(inner, self.permits.clone(), self.classify.clone())
    }
}

impl<G: fmt::Debug, C> fmt::Debug for LimitLayer<G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
