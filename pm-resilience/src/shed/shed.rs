use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pm_core::reload::InvalidSetting;

use super::ShedSettings;
use crate::limit::{Limit, Permit};
use crate::telemetry::ShedMetrics;
use crate::{Pattern, Priority, Reason, Rejection};

/// The permits of a limit, by priority: a handle, cheap to clone. See the
/// [module documentation](super).
#[derive(Clone)]
pub struct Shed(Arc<Shared>);

struct Shared {
    limit: Limit,
    name: Arc<str>,
    settings: ArcSwap<ShedSettings>,
    metrics: ShedMetrics,
}

impl Shed {
    /// By these shares of `limit`, under its name.
    ///
    /// # Errors
    ///
    /// A share that is not above 0 and at most 1, or smaller than that of what matters less.
    pub fn new(limit: Limit, settings: ShedSettings) -> Result<Self, InvalidSetting> {
        settings.check()?;
        let name: Arc<str> = limit.name().into();
        Ok(Self(Arc::new(Shared {
            metrics: ShedMetrics::new(&name),
            name,
            limit,
            settings: ArcSwap::from_pointee(settings),
        })))
    }

    /// The limit whose permits these are.
    #[must_use]
    pub fn limit(&self) -> &Limit {
        &self.0.limit
    }

    /// A permit, if one of this priority is to be had. Nobody waits.
    ///
    /// While the limit finds out what an idle service takes, what matters less than
    /// [`High`](Priority::High) makes room for it; the others notice nothing.
    ///
    /// # Errors
    ///
    /// If the share of this priority is taken.
    pub fn try_acquire(&self, priority: Priority) -> Result<Permit, Rejection> {
        let Shared { limit, .. } = &*self.0;
        let share = self.0.settings.load().share(priority);
        let of_limit = share * limit.limit() as f64;
        // Whatever its share, of a limit of one there is one.
        let of_limit = (of_limit as u64).max(1);
        let up_to = if priority >= Priority::High {
            of_limit
        } else {
            of_limit.min(limit.ceiling())
        };
        limit.take(up_to).ok_or_else(|| {
            self.0.metrics.refused(priority);
            let name = Arc::clone(&self.0.name);
            Rejection::new(name, Pattern::Shed, Reason::Overloaded)
        })
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> ShedSettings {
        **self.0.settings.load()
    }

    /// Other shares. What is under way goes on.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); nothing is changed then.
    pub fn reload(&self, settings: ShedSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        self.0.settings.store(Arc::new(settings));
        Ok(())
    }
}

impl fmt::Debug for Shed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shed")
            .field("limit", &self.0.limit)
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
