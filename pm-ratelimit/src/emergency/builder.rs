use std::sync::Arc;

use pm_core::Clock;

use super::changes::{Changes, OnChange};
use super::{Automatic, Declared, Emergency, EmergencyStore, InvalidEmergency, Profile};
use crate::PolicyName;

/// The most profiles.
const MOST: usize = 64;

/// An [`Emergency`] to be: its profiles, and who declares and hears of it.
#[must_use = "it does nothing until it is built"]
pub struct EmergencyBuilder {
    profiles: Vec<(String, Profile)>,
    automatic: Option<Automatic>,
    hooks: Vec<Box<OnChange>>,
    store: Option<Arc<dyn EmergencyStore>>,
    clock: Clock,
}

impl EmergencyBuilder {
    pub(super) fn new() -> Self {
        Self {
            profiles: Vec::new(),
            automatic: None,
            hooks: Vec::new(),
            store: None,
            clock: Clock::system(),
        }
    }

    /// One more profile. A name is what it is declared by, and a label of metrics: 1–64 printable ASCII
    /// characters.
    pub fn profile(mut self, name: impl Into<String>, profile: Profile) -> Self {
        self.profiles.push((name.into(), profile));
        self
    }

    /// Several profiles, such as those of a file.
    pub fn profiles<N: Into<String>>(
        mut self,
        profiles: impl IntoIterator<Item = (N, Profile)>,
    ) -> Self {
        let profiles = profiles.into_iter();
        self.profiles
            .extend(profiles.map(|(name, profile)| (name.into(), profile)));
        self
    }

    /// Is declared by a reading, too, as long as it is [run](Emergency::run). Without this, by hand
    /// alone.
    pub fn automatic(mut self, automatic: Automatic) -> Self {
        self.automatic = Some(automatic);
        self
    }

    /// One more who is told of every change: of what is in force from then on, or that nothing is. So
    /// a gate in front of sign-ups asks more of them for a proof that they are human.
    ///
    /// All changes are told in their order, each once. It is called by whoever makes the change; that
    /// may be a request, the first one after the time of an emergency is over. It must not block.
    pub fn on_change(mut self, hook: impl Fn(Option<&Declared>) + Send + Sync + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Where what somebody declares is kept, for all instances that share it: there it is in force
    /// within a second, if they are [run](Emergency::run) and have a profile of the name. Without this,
    /// it is about this process.
    pub fn store(mut self, store: Arc<dyn EmergencyStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The clock. Without it, [`Clock::system`]. Emergencies end by the time of day, so that all
    /// instances of a fleet need the same.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the profiles as far as they can be without rules; the rest is checked where a limiter is
    /// built with it.
    ///
    /// # Errors
    ///
    /// If there is something that cannot be. The error names the profile and its field.
    pub fn build(self) -> Result<Emergency, InvalidEmergency> {
        let mut profiles: Vec<(Arc<str>, Profile)> = Vec::new();
        for (name, profile) in self.profiles {
            let invalid = |message: String| InvalidEmergency::new(&name, "name", message);
            PolicyName::try_from(name.clone()).map_err(|error| invalid(error.to_string()))?;
            if profiles.iter().any(|(known, _)| **known == *name) {
                return Err(invalid("two profiles have this name".to_owned()));
            }
            if profiles.len() == MOST {
                return Err(invalid(format!("there are more than {MOST} profiles")));
            }
            profile.check(&name)?;
            profiles.push((name.into(), profile));
        }
        if let Some(automatic) = &self.automatic {
            automatic.check()?;
            let name = &automatic.profile;
            if !profiles.iter().any(|(known, _)| **known == **name) {
                return Err(InvalidEmergency::new(
                    name,
                    "automatic",
                    "there is no profile of this name",
                ));
            }
        }
        Ok(Emergency::start(
            profiles.into(),
            self.automatic,
            Changes::new(self.hooks),
            self.store,
            self.clock,
        ))
    }
}

impl std::fmt::Debug for EmergencyBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmergencyBuilder")
            .field("profiles", &self.profiles)
            .field("automatic", &self.automatic)
            .finish_non_exhaustive()
    }
}
