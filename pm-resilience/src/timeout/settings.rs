use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use pm_core::reload::InvalidSetting;

use crate::Class;

/// How long an attempt may take, by its [`Class`]. Plain data; what is not valid is refused where it
/// is used: each time is more than zero and at most one day.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Timeouts {
    /// Of a read. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub read: Duration,
    /// Of a write. Default 2 s.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub write: Duration,
    /// Of a batch. Default 10 s.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub batch: Duration,
    /// Of classes of your own, by name. One that is not here has the time of a write.
    #[cfg_attr(feature = "serde", serde(with = "custom"))]
    pub custom: BTreeMap<Cow<'static, str>, Duration>,
}

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Timeouts {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            read: Duration::from_secs(1),
            write: Duration::from_secs(2),
            batch: Duration::from_secs(10),
            custom: BTreeMap::new(),
        }
    }

    pub(super) fn longest(&self) -> Duration {
        let fixed = self.read.max(self.write).max(self.batch);
        self.custom.values().copied().fold(fixed, Duration::max)
    }

    /// The same, with this time for reads.
    #[must_use]
    pub fn with_read(mut self, time: Duration) -> Self {
        self.read = time;
        self
    }

    /// The same, with this time for writes.
    #[must_use]
    pub fn with_write(mut self, time: Duration) -> Self {
        self.write = time;
        self
    }

    /// The same, with this time for batches.
    #[must_use]
    pub fn with_batch(mut self, time: Duration) -> Self {
        self.batch = time;
        self
    }

    /// The same, with this time for a class of your own.
    #[must_use]
    pub fn with_custom(mut self, class: impl Into<Cow<'static, str>>, time: Duration) -> Self {
        self.custom.insert(class.into(), time);
        self
    }

    /// The time that an attempt of this class has.
    #[must_use]
    pub fn of(&self, class: Class) -> Duration {
        match class {
            Class::Read => self.read,
            Class::Write => self.write,
            Class::Batch => self.batch,
            Class::Custom(name) => *self.custom.get(name).unwrap_or(&self.write),
        }
    }

    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let named = [
            (Cow::Borrowed("read"), self.read),
            (Cow::Borrowed("write"), self.write),
            (Cow::Borrowed("batch"), self.batch),
        ];
        let custom = self.custom.iter();
        let custom = custom.map(|(name, time)| (format!("custom.{name}").into(), *time));
        for (field, time) in named.into_iter().chain(custom) {
            if time.is_zero() || time > LONGEST {
                let reason = "more than zero and at most one day";
                return Err(InvalidSetting::new(field, reason));
            }
        }
        Ok(())
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::new()
    }
}

/// Times by name, each written like the others.
#[cfg(feature = "serde")]
mod custom {
    use std::borrow::Cow;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Time(#[serde(with = "pm_core::duration")] Duration);

    pub(super) fn serialize<S: Serializer>(
        times: &BTreeMap<Cow<'static, str>, Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(times.iter().map(|(name, time)| (name, Time(*time))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Cow<'static, str>, Duration>, D::Error> {
        let times = BTreeMap::<String, Time>::deserialize(deserializer)?;
        let owned = |(name, Time(time))| (Cow::Owned(name), time);
        Ok(times.into_iter().map(owned).collect())
    }
}
