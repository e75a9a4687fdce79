use std::fmt;
use std::marker::PhantomData;

use tower_layer::Layer;

use super::{BodyEnd, Breaker, BreakerService, ByKey, Head, KeyedBreakers};
use crate::classify::Errors;

/// Guards a service by a [`Breaker`], or each request by the one of its [key](Self::keyed).
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
pub struct BreakerLayer<C = Errors, U = Head, B = Breaker> {
    breaker: B,
    classify: C,
    until: PhantomData<fn() -> U>,
}

impl BreakerLayer {
    /// Guards by `breaker`.
    #[must_use]
    pub const fn new(breaker: Breaker) -> Self {
        Self::build(breaker, Errors)
    }
}

impl<K, F> BreakerLayer<Errors, Head, ByKey<K, F>> {
    /// Guards each request by the breaker of its key, such as the host that it goes to: a function
    /// `Fn(&Req) -> K`.
    ///
    /// ```
    /// use http::Request;
    /// use pm_resilience::breaker::{BreakerLayer, BreakerSettings, KeyedBreakers};
    /// # let hundred = std::num::NonZeroUsize::new(100).unwrap();
    ///
    /// let hosts: KeyedBreakers<String> =
    ///     KeyedBreakers::new("hosts", BreakerSettings::new(), hundred)?;
    /// let layer = BreakerLayer::keyed(hosts, |request: &Request<String>| {
    ///     request.uri().host().unwrap_or_default().to_owned()
    /// });
    /// # Ok::<(), pm_core::reload::InvalidSetting>(())
    /// ```
    #[must_use]
    pub fn keyed(breakers: KeyedBreakers<K>, key_of: F) -> Self {
        Self::build(ByKey::new(breakers, key_of), Errors)
    }
}

impl<C, U, B> BreakerLayer<C, U, B> {
    const fn build(breaker: B, classify: C) -> Self {
        Self {
            breaker,
            classify,
            until: PhantomData,
        }
    }

    /// The same, where `classify` says what a result says: a [`Classify`](crate::Classify).
    #[must_use]
    pub fn with_classifier<D: Clone>(self, classify: D) -> BreakerLayer<D, U, B> {
        BreakerLayer::build(self.breaker, classify)
    }

    /// The same for HTTP, where a call lasts until the body of its response has [ended](BodyEnd): a
    /// body that fails behind a good head is a failure. The classifier has to be a
    /// [`ClassifyStream`](crate::classify::ClassifyStream), such as [`Http`](crate::classify::Http).
    #[must_use]
    pub fn until_body_end(self) -> BreakerLayer<C, BodyEnd, B> {
        BreakerLayer::build(self.breaker, self.classify)
    }
}

impl<S, C: Clone, U, B: Clone> Layer<S> for BreakerLayer<C, U, B> {
    type Service = BreakerService<S, C, U, B>;

    fn layer(&self, inner: S) -> BreakerService<S, C, U, B> {
        BreakerService::new(inner, self.breaker.clone(), self.classify.clone())
    }
}

impl<C: Clone, U, B: Clone> Clone for BreakerLayer<C, U, B> {
    fn clone(&self) -> Self {
        Self::build(self.breaker.clone(), self.classify.clone())
    }
}

impl<C, U, B: fmt::Debug> fmt::Debug for BreakerLayer<C, U, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerLayer")
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
