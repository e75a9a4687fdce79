use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::permit::Permit;
use super::{FallbackLayer, FallbackSettings, Run};
use crate::slots::Slots;
use crate::telemetry::FallbackMetrics;

/// Another answer, for so many at the same time; see the [module documentation](super).
///
/// A handle: clones share the bound.
#[derive(Clone)]
pub struct Fallback(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    slots: Arc<Slots>,
    metrics: FallbackMetrics,
}

impl Fallback {
    /// A fallback of these settings, or for so many calls at the same time.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, settings: impl Into<FallbackSettings>) -> Self {
        let name = name.into();
        Self(Arc::new(Shared {
            metrics: FallbackMetrics::new(&name),
            name,
            slots: Arc::new(Slots::new(settings.into().at_most.into())),
        }))
    }

    /// Waits for `primary`, and for what `alternative` makes of its error if it has one. An
    /// alternative that does not want this error returns it again.
    ///
    /// If too many are in the fallback already, the error is the answer. Allocates nothing.
    /// Cancel-safe: dropping it drops what is under way and gives the permit back.
    pub fn run<F, A, G, T, E>(&self, primary: F, alternative: A) -> Run<F, A, G>
    where
        F: Future<Output = Result<T, E>>,
        A: FnOnce(E) -> G,
        G: Future<Output = Result<T, E>>,
    {
        Run::new(self.clone(), primary, alternative)
    }

    /// The layer that answers errors of the inner service with what `alternative` makes of them.
    pub fn layer<A>(&self, alternative: A) -> FallbackLayer<A> {
        FallbackLayer::new(self.clone(), alternative)
    }

    /// How many are in it.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.0.slots.taken()
    }

    /// Another bound, for those who come from now on; who is in it stays.
    pub fn reload(&self, settings: impl Into<FallbackSettings>) {
        self.0.slots.set_ceiling(settings.into().at_most.into());
    }

    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        let permit = Permit::try_take(&self.0.slots);
        self.0.metrics.decided(permit.is_some());
        permit
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("name", &self.0.name)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
