use std::fmt;
use std::marker::PhantomData;

use tower_layer::Layer;

use super::{BodyEnd, Breaker, BreakerService, Head};
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
pub struct BreakerLayer<C = Errors, U = Head> {
    breaker: Breaker,
    classify: C,
    until: PhantomData<fn() -> U>,
}

impl BreakerLayer {
    /// Guards by `breaker`.
    #[must_use]
    pub const fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            classify: Errors,
            until: PhantomData,
        }
    }
}

impl<C, U> BreakerLayer<C, U> {
    /// The same, where `classify` says what a result says: a [`Classify`](crate::Classify).
    #[must_use]
    pub fn with_classifier<D: Clone>(self, classify: D) -> BreakerLayer<D, U> {
        BreakerLayer {
            breaker: self.breaker,
            classify,
            until: PhantomData,
        }
    }

    /// The same for HTTP, where a call lasts until the body of its response has [ended](BodyEnd): a
    /// body that fails behind a good head is a failure. The classifier has to be a
    /// [`ClassifyStream`](crate::classify::ClassifyStream), such as [`Http`](crate::classify::Http).
    #[must_use]
    pub fn until_body_end(self) -> BreakerLayer<C, BodyEnd> {
        BreakerLayer {
            breaker: self.breaker,
            classify: self.classify,
            until: PhantomData,
        }
    }
}

impl<S, C: Clone, U> Layer<S> for BreakerLayer<C, U> {
    type Service = BreakerService<S, C, U>;

    fn layer(&self, inner: S) -> BreakerService<S, C, U> {
        BreakerService::new(inner, self.breaker.clone(), self.classify.clone())
    }
}

impl<C: Clone, U> Clone for BreakerLayer<C, U> {
    fn clone(&self) -> Self {
        Self {
            breaker: self.breaker.clone(),
            classify: self.classify.clone(),
            until: PhantomData,
        }
    }
}

impl<C, U> fmt::Debug for BreakerLayer<C, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
