use pm_core::Clock;
use pm_core::reload::InvalidSetting;

use super::{Check, Health};
use crate::shutdown::Drain;

/// Longer names are a mistake.
const MAX_NAME: usize = 64;

/// What a [`Health`] is made from.
#[derive(Debug)]
#[must_use]
pub struct HealthBuilder {
    pub(super) checks: Vec<Check>,
    pub(super) drain: Option<Drain>,
    pub(super) clock: Clock,
}

impl HealthBuilder {
    pub(super) const fn new() -> Self {
        Self {
            checks: Vec::new(),
            drain: None,
            clock: Clock::system(),
        }
    }

    /// One more dependency.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Not ready from the moment that this process is asked to stop.
    pub fn drain(mut self, drain: Drain) -> Self {
        self.drain = Some(drain);
        self
    }

    /// On another clock than the machine's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The handle. Nothing is checked until [`Health::run`].
    ///
    /// # Errors
    ///
    /// A name that is not valid or comes twice, or a time of zero. The field is the name of the check,
    /// a dot, and `name`, `every` or `timeout`.
    pub fn build(self) -> Result<Health, InvalidSetting> {
        for (at, check) in self.checks.iter().enumerate() {
            let named = || format!("{}.name", check.name);
            if !is_name(&check.name) {
                return Err(InvalidSetting::new(
                    named(),
                    "1 to 64 of a-z, 0-9, `_`, `-` and `.`",
                ));
            }
            if self.checks[..at]
                .iter()
                .any(|other| other.name == check.name)
            {
                return Err(InvalidSetting::new(named(), "there are two of it"));
            }
            let checked = check.settings.check();
            checked.map_err(|error| error.within(&check.name))?;
        }
        Ok(Health::new(self))
    }
}

/// Nothing in it has to be escaped, in JSON or in a metric.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.'))
}
