use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::{CheckSettings, Weight};

/// How a dependency is asked whether it works: a name, what it means if it does not, and a function.
pub struct Check {
    pub(super) name: String,
    pub(super) weight: Weight,
    pub(super) settings: CheckSettings,
    pub(super) ask: Box<Ask>,
}

pub(super) type Ask = dyn Fn() -> Asking + Send + Sync;
pub(super) type Asking = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

impl Check {
    /// Nothing can be done without it: the process is not ready while it is down.
    ///
    /// The name stands in answers, logs and metrics: 1 to 64 of `a-z`, `0-9`, `_`, `-`, `.`. `ask` is
    /// called for each check, and its future dropped if it takes too long; a panic in it is a failure.
    /// It must not block its thread: that would hold up the other checks, and make them stale.
    #[must_use]
    pub fn critical<F, E>(
        name: impl Into<String>,
        ask: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::new(name, Weight::Critical, ask)
    }

    /// Less can be done without it: the process is ready nevertheless. Otherwise as
    /// [`critical`](Self::critical).
    #[must_use]
    pub fn degraded<F, E>(
        name: impl Into<String>,
        ask: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::new(name, Weight::Degraded, ask)
    }

    /// As [`critical`](Self::critical), of a weight that a setting decides on.
    #[must_use]
    pub fn new<F, E>(
        name: impl Into<String>,
        weight: Weight,
        ask: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let ask = move || -> Asking {
            let asking = ask();
            Box::pin(async move { asking.await.map_err(Into::into) })
        };
        Self {
            name: name.into(),
            weight,
            settings: CheckSettings::default(),
            ask: Box::new(ask),
        }
    }

    /// The same, at other times and with other damping.
    #[must_use]
    pub fn with_settings(mut self, settings: CheckSettings) -> Self {
        self.settings = settings;
        self
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("weight", &self.weight)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
