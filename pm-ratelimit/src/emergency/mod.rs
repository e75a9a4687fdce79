//! Less for everybody, for a while: a stricter profile over the rules that are in force.

mod automatic;
mod builder;
mod changes;
mod declared;
mod hysteresis;
mod invalid;
mod profile;
mod reduction;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pm_core::{Clock, Tick};

use self::changes::Changes;
use self::hysteresis::Signal;
use crate::block::{Cause, after};
use crate::telemetry;

pub use self::automatic::Automatic;
pub use self::builder::EmergencyBuilder;
pub use self::declared::Declared;
pub use self::hysteresis::Hysteresis;
pub use self::invalid::{InvalidEmergency, UnknownProfile};
pub use self::profile::{Answer, Profile};
pub use self::reduction::{InvalidReduction, Reduction};

pub(crate) use self::profile::Named;

/// How often the reading is taken.
const LOOK: Duration = Duration::from_secs(1);

/// Who has said what a reading says.
const AUTOMATIC: &str = "automatic";

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
/// It is about the limiters of this process. A fleet is told instance by instance.
#[derive(Clone)]
pub struct Emergency(Arc<Shared>);

struct Shared {
    profiles: Box<[Named]>,
    automatic: Option<Automatic>,
    changes: Changes,
    clock: Clock,
    /// Changed by [`Changes::make`] alone.
    current: ArcSwapOption<Current>,
}

/// What is in force.
#[derive(Debug)]
struct Current {
    /// Of the profile.
    number: u16,
    until: Tick,
    declared: Declared,
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
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Shared {
            profiles,
            automatic,
            changes,
            clock,
            current: ArcSwapOption::empty(),
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
        let (by, because) = (by.into(), because.into());
        let declared = self.declare(profile, Cause::Manual, lasting, (by, because), |_| true);
        declared.ok_or(UnknownProfile(()))
    }

    /// Ends what is in force, and returns it, if there is something.
    ///
    /// No reading declares another one before it has been low.
    pub fn leave(&self, by: &str) -> Option<Declared> {
        if let Some(automatic) = &self.0.automatic {
            automatic.hold_off();
        }
        self.end(by, |_| true)
    }

    /// What is in force now.
    #[must_use]
    pub fn state(&self) -> Option<Declared> {
        let current = self.current()?;
        Some(current.declared.clone())
    }

    /// The names of the profiles.
    pub fn profiles(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.profiles.iter().map(|(name, _)| &**name)
    }

    /// Takes the reading of [`Automatic`] once a second, for ever, and tells the hooks in time that an
    /// emergency is over. Spawn it, if there is one or the other.
    ///
    /// Cancel-safe: an automatic emergency then ends after [its time](Automatic::lasting).
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(self) {
        loop {
            self.look();
            let clock = &self.0.clock;
            clock.sleep_until(clock.now() + LOOK).await;
        }
    }

    /// What [`run`](Self::run) does once a second.
    pub fn look(&self) {
        let now = self.0.clock.now();
        let current = self.current();
        let Some(automatic) = &self.0.automatic else {
            return;
        };
        let is_ours = |current: &Current| current.declared.cause == Cause::Automatic;
        match (automatic.look(now), current) {
            (Signal::Enter, None) => {
                let why = (AUTOMATIC.into(), "the reading is high".into());
                // Somebody's word counts more, also if it comes in between.
                let _ = self.declare(
                    &automatic.profile,
                    Cause::Automatic,
                    automatic.lasting,
                    why,
                    |current| current.is_none(),
                );
            }
            (Signal::Leave, Some(_)) => {
                let _ = self.end(AUTOMATIC, is_ours);
            }
            (_, Some(current)) if is_ours(&current) => {
                let left = current.until.saturating_duration_since(now);
                if left < automatic.lasting / 2 {
                    self.prolong(&current, automatic.lasting);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn named(&self) -> &[Named] {
        &self.0.profiles
    }

    /// The number of the profile that is in force now.
    #[inline]
    pub(crate) fn in_force(&self) -> Option<u16> {
        let current = self.0.current.load();
        let current = current.as_ref()?;
        if self.0.clock.now() < current.until {
            return Some(current.number);
        }
        self.lapse();
        None
    }

    fn current(&self) -> Option<Arc<Current>> {
        self.in_force()?;
        self.0.current.load_full()
    }

    fn declare(
        &self,
        profile: &str,
        cause: Cause,
        lasting: Duration,
        (by, because): (Box<str>, Box<str>),
        may: impl FnOnce(Option<&Current>) -> bool,
    ) -> Option<Declared> {
        let shared = &self.0;
        let mut names = shared.profiles.iter().map(|(name, _)| name);
        let number = names.position(|name| **name == *profile)?;
        let since_micros = shared.clock.wall_micros();
        let declared = Declared {
            profile: Arc::clone(&shared.profiles[number].0),
            cause,
            since_micros,
            until_micros: after(since_micros, lasting),
            by,
            because,
        };
        let current = Arc::new(Current {
            // There are at most 64.
            number: number as u16,
            until: shared.clock.now() + lasting,
            declared: declared.clone(),
        });
        shared.changes.make(|| {
            let known = shared.current.load();
            if !may(known.as_deref()) {
                return None;
            }
            shared.current.store(Some(Arc::clone(&current)));
            telemetry::emergency_over(known.as_ref().map(|known| &known.declared));
            telemetry::emergency_declared(&declared);
            tracing::warn!(
                profile = &*declared.profile,
                cause = declared.cause.as_str(),
                by = &*declared.by,
                because = &*declared.because,
                until_micros = declared.until_micros,
                "an emergency is declared"
            );
            Some((Some(current), declared))
        })
    }

    /// Of what is in force, only the end is another one.
    fn prolong(&self, known: &Arc<Current>, lasting: Duration) {
        let shared = &self.0;
        let until_micros = after(shared.clock.wall_micros(), lasting);
        let current = Arc::new(Current {
            number: known.number,
            until: shared.clock.now() + lasting,
            declared: Declared {
                until_micros,
                ..known.declared.clone()
            },
        });
        shared.changes.make(|| {
            let same = shared.current.load();
            let same = same.as_ref().is_some_and(|same| Arc::ptr_eq(same, known));
            same.then(|| {
                shared.current.store(Some(Arc::clone(&current)));
                (Some(current), ())
            })
        });
    }

    /// What is over by its time is over for the hooks, too.
    #[cold]
    fn lapse(&self) {
        let now = self.0.clock.now();
        let _ = self.end("its time", |current| current.until <= now);
    }

    fn end(&self, by: &str, is_over: impl FnOnce(&Current) -> bool) -> Option<Declared> {
        let shared = &self.0;
        shared.changes.make(|| {
            let known = shared.current.load_full()?;
            if !is_over(&known) {
                return None;
            }
            shared.current.store(None);
            telemetry::emergency_over(Some(&known.declared));
            tracing::info!(
                profile = &*known.declared.profile,
                by,
                "an emergency is over"
            );
            Some((None, known.declared.clone()))
        })
    }
}

impl fmt::Debug for Emergency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emergency")
            .field("profiles", &self.0.profiles)
            .field("automatic", &self.0.automatic)
            .field("current", &self.0.current.load().as_deref())
            .finish_non_exhaustive()
    }
}
