//! Less for everybody, for a while: a stricter profile over the rules that are in force.

mod automatic;
mod builder;
mod changes;
mod declared;
mod hysteresis;
mod invalid;
mod profile;
mod reduction;
mod store;
mod switch;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pm_core::Clock;

use self::changes::Changes;
use self::hysteresis::Signal;
use self::switch::{Current, Switch};
use crate::block::Cause;
use crate::{Error, guard};

pub use self::automatic::Automatic;
pub use self::builder::EmergencyBuilder;
pub use self::declared::Declared;
pub use self::hysteresis::Hysteresis;
pub use self::invalid::{InvalidEmergency, UnknownProfile};
pub use self::profile::{Answer, Profile};
pub use self::reduction::{InvalidReduction, Reduction};
pub use self::store::{EmergencyStore, Word};

pub(crate) use self::profile::Named;

/// Declares emergencies, for all limiters that are [built](crate::LimiterBuilder::emergency) with it:
/// a handle that is cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use pm_ratelimit::emergency::{Emergency, Profile};
/// use pm_ratelimit::{Limiter, Quota, Rule, Rules};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let emergency = Emergency::builder()
///     .profile("storm", Profile::scale(1, 5).exempt_role("admin"))
///     .on_change(|declared| println!("challenge {}", if declared.is_some() { "all" } else { "few" }))
///     .build()?;
/// tokio::spawn(emergency.clone().run());
/// let limiter = Limiter::builder(Rules::new().rule("user", Rule::always().quota(Quota::per_minute(300))))
///     .emergency(emergency.clone())
///     .build()?;
///
/// emergency.enter("storm", Duration::from_secs(30 * 60), "ada", "credential stuffing")?;
/// emergency.leave("ada");
/// # Ok(()) }
/// ```
///
/// **It ends by itself**, at its time and without anybody's help: a decision at or after that moment
/// is by the rules as they always are. The first one tells the hooks, or [`run`](Self::run) or
/// [`state`](Self::state) if they are earlier.
///
/// **Nobody gains by it.** A rule keeps its buckets, and what is owed in tokens stays owed, when an
/// emergency begins and when it ends. So whatever is declared and left, and however often, nobody is
/// admitted more than by the rules without: burst and rate over time.
///
/// Every request is decided by one version of the rules and by one profile or none.
/// [`Limiter::reload`](crate::Limiter::reload) counts for both, at the same moment.
///
/// **On every instance within a second**, if they share a [store](EmergencyBuilder::store) and are
/// [run](Self::run): what somebody declares or ends counts at once where it is said, also if the store is
/// down, and the others hear of it. What a reading declares is about its own instance. Without a store it
/// is about the limiters of this process.
#[derive(Clone)]
pub struct Emergency(Arc<Shared>);

struct Shared {
    switch: Switch,
    automatic: Option<Automatic>,
    store: Option<Arc<dyn EmergencyStore>>,
}

impl Emergency {
    /// Without profiles, unless some are given.
    pub fn builder() -> EmergencyBuilder {
        EmergencyBuilder::new()
    }

    fn start(
        profiles: Box<[Named]>,
        automatic: Option<Automatic>,
        changes: Changes,
        store: Option<Arc<dyn EmergencyStore>>,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Shared {
            switch: Switch::new(profiles, changes, clock),
            automatic,
            store,
        }))
    }

    /// Declares an emergency: from now on, for so long, the rules are those that this profile makes of
    /// them. Another one that was in force is over with it.
    ///
    /// # Errors
    ///
    /// If there is no profile of this name. Then nothing has changed.
    pub fn enter(
        &self,
        profile: &str,
        lasting: Duration,
        by: impl Into<Box<str>>,
        because: impl Into<Box<str>>,
    ) -> Result<Declared, UnknownProfile> {
        let switch = &self.0.switch;
        let declared = switch.enter(profile, lasting, by.into(), because.into());
        declared.ok_or(UnknownProfile(()))
    }

    /// Ends what is in force, and returns it, if there is something.
    ///
    /// No reading declares another one before it has been low.
    pub fn leave(&self, by: &str) -> Option<Declared> {
        self.hold_off();
        self.0.switch.leave(by)
    }

    /// What is in force now.
    #[must_use]
    pub fn state(&self) -> Option<Declared> {
        let current = self.0.switch.current()?;
        Some(current.declared.clone())
    }

    /// The names of the profiles.
    pub fn profiles(&self) -> impl ExactSizeIterator<Item = &str> {
        self.named().iter().map(|(name, _)| &**name)
    }

    /// Takes the reading of [`Automatic`], keeps up with the store, and tells the hooks in time that an
    /// emergency is over: four times a second, for ever. Spawn it, if there is one of these.
    ///
    /// While the store fails, what is said here counts here and is told when the store is back; one line
    /// is logged when it begins and one when it ends. Cancel-safe: an automatic emergency then ends
    /// after [its time](Automatic::lasting).
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(self) {
        let clock = self.0.switch.clock.clone();
        guard::follow(clock, "emergencies", || {
            self.look();
            self.synchronize()
        })
        .await;
    }

    /// Tells the store what was said here, and hears what was said elsewhere, if there is a store: what
    /// [`run`](Self::run) does four times a second, and what you may wait for before the first request
    /// is let in. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn synchronize(&self) -> Result<(), Error> {
        let Some(store) = &self.0.store else {
            return Ok(());
        };
        let known = self.0.switch.word();
        if let Some(word) = Arc::clone(store).exchange(known.clone()).await?
            && self.0.switch.hear(word, known.as_ref())
        {
            self.hold_off();
        }
        Ok(())
    }

    /// Takes the reading, if there is one: what [`run`](Self::run) does four times a second.
    pub fn look(&self) {
        let switch = &self.0.switch;
        let current = switch.current();
        let Some(automatic) = &self.0.automatic else {
            return;
        };
        let now = switch.clock.now();
        let is_ours = |current: &Current| current.declared.cause == Cause::Automatic;
        match (automatic.look(now), current) {
            // Somebody's word counts more, also if it comes in between.
            (Signal::Enter, None) => {
                switch.enter_automatically(&automatic.profile, automatic.lasting);
            }
            (Signal::Leave, Some(_)) => switch.leave_automatically(),
            (_, Some(current)) if is_ours(&current) => {
                let left = current.until.saturating_duration_since(now);
                if left < automatic.lasting / 2 {
                    switch.prolong(&current, automatic.lasting);
                }
            }
            _ => {}
        }
    }

    fn hold_off(&self) {
        if let Some(automatic) = &self.0.automatic {
            automatic.hold_off();
        }
    }

    pub(crate) fn named(&self) -> &[Named] {
        &self.0.switch.profiles
    }

    /// The number of the profile that is in force now.
    #[inline]
    pub(crate) fn in_force(&self) -> Option<u16> {
        self.0.switch.in_force()
    }
}

impl fmt::Debug for Emergency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emergency")
            .field("switch", &self.0.switch)
            .field("automatic", &self.0.automatic)
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}
