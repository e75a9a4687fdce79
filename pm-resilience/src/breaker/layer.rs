use std::fmt;

use tower_layer::Layer;

use super::{Breaker, BreakerService};
use crate::classify::Errors;

/// Guards a service by a [`Breaker`].
///
/// The state is the breaker's: layers of the same breaker, and services built by the same layer,
/// share it. Without [`with_classifier`](Self::with_classifier), every `Ok` is a success and every
/// `Err` a failure.
///
/// ```
/// use pm_resilience::Outcome;
/// use pm_resilience::breaker::{Breaker, BreakerLayer, BreakerSettings};
/// # type Answer = http::Response<()>;
///
/// let breaker = Breaker::new("search", BreakerSettings::new())?;
/// let layer = BreakerLayer::new(breaker.clone()).with_classifier(
///     |result: Result<&Answer, &std::io::Error>| match result {
///         Ok(answer) if answer.status().is_server_error() => Outcome::Failure,
///         Ok(_) => Outcome::Success,
///         Err(_) => Outcome::Failure,
///     },
/// );
/// # Ok::<(), pm_core::reload::InvalidSetting>(())
/// ```
#[derive(Clone)]
pub struct BreakerLayer<C = Errors> {
    breaker: Breaker,
    classify: C,
}

impl BreakerLayer {
    /// Guards by `breaker`.
    #[must_use]
    pub const fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            classify: Errors,
        }
    }
}

impl<C> BreakerLayer<C> {
    /// The same, where `classify` says what a result says: a [`Classify`](crate::Classify).
    #[must_use]
    pub fn with_classifier<D: Clone>(self, classify: D) -> BreakerLayer<D> {
        BreakerLayer {
            breaker: self.breaker,
            classify,
        }
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = BreakerService<S, C>;

    fn layer(&self, inner: S) -> BreakerService<S, C> {
        BreakerService::new(inner, self.breaker.clone(), self.classify.clone())
    }
}

impl<C> fmt::Debug for BreakerLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
