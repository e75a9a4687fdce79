use std::fmt;
use std::future::Future;
use std::sync::Arc;

use pm_core::reload::InvalidSetting;

use super::core::Task;
use super::hold::Parts;
use super::{Call, PolicyBuilder, PolicyLayer, PolicySettings, Read};
use crate::classify::Errors;
use crate::{
    Breaker, Bulkhead, ByMethod, Class, Fallback, Limit, Priority, Retry, Shed, SlowLog, Timeout,
};

/// How one dependency is called; see the [module documentation](super).
///
/// A handle: clones are the same policy, and so are all of its layers.
pub struct Policy<C = Errors>(Arc<Parts<C>>);

impl Policy {
    /// A builder for a policy. The name is for rejections, logs and metrics.
    pub fn named(name: impl Into<Arc<str>>) -> PolicyBuilder {
        PolicyBuilder::new(name.into())
    }
}

impl<C> Policy<C> {
    pub(super) fn new(parts: Parts<C>) -> Self {
        Self(Arc::new(parts))
    }

    /// A read: `make` makes the call, once for each attempt.
    ///
    /// Nothing happens before it is polled. Cancel-safe if the call is: dropping it drops the
    /// attempt that is under way, or the wait, and gives back the permit of the breaker.
    pub fn read<M, F>(&self, operation: &'static str, make: M) -> Read<'_, C, M, F>
    where
        M: FnMut() -> F,
        F: Future,
    {
        Read::new(self.call(Class::Read, operation, make).idempotent())
    }

    /// A write. It is not retried, unless it is marked with [`Call::idempotent`].
    pub fn write<M, F>(&self, operation: &'static str, make: M) -> Call<'_, C, M, F>
    where
        M: FnMut() -> F,
        F: Future,
    {
        self.call(Class::Write, operation, make)
    }

    /// A batch. It is not retried, unless it is marked with [`Call::idempotent`].
    pub fn batch<M, F>(&self, operation: &'static str, make: M) -> Call<'_, C, M, F>
    where
        M: FnMut() -> F,
        F: Future,
    {
        self.call(Class::Batch, operation, make)
    }

    /// A call of any class. It is not retried, unless it is marked with [`Call::idempotent`].
    pub fn call<M, F>(&self, class: Class, operation: &'static str, make: M) -> Call<'_, C, M, F>
    where
        M: FnMut() -> F,
        F: Future,
    {
        let task = Task {
            operation,
            class,
            priority: Priority::Normal,
            repeatable: false,
        };
        Call::new(&self.0, task, make)
    }

    /// The layer for an HTTP client: requests have the class of their method.
    #[must_use]
    pub fn layer(&self) -> PolicyLayer<C> {
        PolicyLayer::new(Arc::clone(&self.0), ByMethod)
    }

    /// The layer for an HTTP client whose requests have the class that `class_of` says.
    pub fn layer_with<K>(&self, class_of: K) -> PolicyLayer<C, K> {
        PolicyLayer::new(Arc::clone(&self.0), class_of)
    }

    /// The name in rejections, logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its breaker, to watch, force or reload. A policy without one has one that is disabled.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }

    /// Its time-outs, to reload.
    #[must_use]
    pub fn timeout(&self) -> &Timeout {
        &self.0.timeout
    }

    /// Its retries and their budget, to watch or reload.
    #[must_use]
    pub fn retry(&self) -> Option<&Retry> {
        self.0.retry.as_ref()
    }

    /// Its limit, to watch or reload.
    #[must_use]
    pub fn limit(&self) -> Option<&Limit> {
        self.0.limit.as_ref()
    }

    /// The shares of its limit, to reload.
    #[must_use]
    pub fn shed(&self) -> Option<&Shed> {
        self.0.shed.as_ref()
    }

    /// Its bulkhead, to watch or reload.
    #[must_use]
    pub fn bulkhead(&self) -> Option<&Bulkhead> {
        self.0.bulkhead.as_ref()
    }

    /// The bound on other answers, to watch or reload.
    #[must_use]
    pub fn fallback(&self) -> &Fallback {
        &self.0.fallback
    }

    /// Its slow log, to reload.
    #[must_use]
    pub fn slow_log(&self) -> Option<&SlowLog> {
        self.0.slow_log.as_ref()
    }
}

impl<C> Policy<C> {
    /// Changes the settings of all parts that are named, each of which keeps its state. What is
    /// `None` stays as it is.
    ///
    /// # Errors
    ///
    /// If a setting is not valid, or of a part that the policy was built without; the error names it,
    /// and nothing has changed.
    pub fn reload(&self, settings: PolicySettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        let parts = &*self.0;
        for (part, wanted, there) in [
            ("limit", settings.limit.is_some(), parts.limit.is_some()),
            ("shed", settings.shed.is_some(), parts.shed.is_some()),
            ("retry", settings.retry.is_some(), parts.retry.is_some()),
            (
                "bulkhead",
                settings.bulkhead.is_some(),
                parts.bulkhead.is_some(),
            ),
            (
                "slow_log",
                settings.slow_log.is_some(),
                parts.slow_log.is_some(),
            ),
        ] {
            if wanted && !there {
                return Err(InvalidSetting::new(
                    part,
                    "the policy was built without it: build it with this part",
                ));
            }
        }
        if let Some(timeouts) = settings.timeouts {
            parts.timeout.reload(timeouts)?;
        }
        if let Some(breaker) = settings.breaker {
            parts.breaker.reload(breaker)?;
        }
        if let Some((limit, settings)) = parts.limit.as_ref().zip(settings.limit) {
            limit.reload(settings)?;
        }
        if let Some((shed, settings)) = parts.shed.as_ref().zip(settings.shed) {
            shed.reload(settings)?;
        }
        if let Some((retry, settings)) = parts.retry.as_ref().zip(settings.retry) {
            retry.reload(settings)?;
        }
        if let Some((bulkhead, settings)) = parts.bulkhead.as_ref().zip(settings.bulkhead) {
            bulkhead.reload(settings);
        }
        if let Some((slow_log, settings)) = parts.slow_log.as_ref().zip(settings.slow_log) {
            slow_log.reload(settings)?;
        }
        if let Some(settings) = settings.fallback {
            parts.fallback.reload(settings);
        }
        Ok(())
    }
}

impl<C> Clone for Policy<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Policy<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.0.name)
            .field("timeout", &self.0.timeout)
            .field("breaker", &self.0.breaker)
            .field("retry", &self.0.retry)
            .field("slow_log", &self.0.slow_log)
            .finish_non_exhaustive()
    }
}
