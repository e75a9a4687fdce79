use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{FallbackLayer, Run};
use crate::telemetry::FallbackMetrics;

/// Another answer, for so many at the same time; see the [module documentation](super).
///
/// A handle: clones share the bound.
#[derive(Clone)]
pub struct Fallback(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    permits: Arc<Semaphore>,
    metrics: FallbackMetrics,
}

impl Fallback {
    /// A fallback that `at_most` calls take at the same time.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, at_most: u32) -> Self {
        let name = name.into();
        let permits = usize::try_from(at_most).unwrap_or(usize::MAX);
        Self(Arc::new(Shared {
            metrics: FallbackMetrics::new(&name),
            name,
            permits: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))),
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

    pub(crate) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.0.permits).try_acquire_owned().ok();
        self.0.metrics.decided(permit.is_some());
        permit
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("name", &self.0.name)
            .field("free", &self.0.permits.available_permits())
            .finish_non_exhaustive()
    }
}
