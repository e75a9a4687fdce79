use std::time::Duration;

use pm_core::reload::InvalidSetting;

/// What rates are taken over: the last calls, or the calls of the last while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
pub enum Window {
    /// So many calls, exactly: each new one takes the place of the oldest.
    Calls(u32),
    /// The calls of so long. What has ended is forgotten slice by slice, so that the window is up to
    /// one slice shorter than it says.
    Time {
        /// How long it is.
        #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
        length: Duration,
        /// How many slices it has, from 2 to 60.
        #[cfg_attr(feature = "serde", serde(default = "ten"))]
        slices: u8,
    },
}

/// Two bits for each, hence at most 2.7 KiB.
const MOST_CALLS: u32 = 8_192;
const SHORTEST_SLICE: Duration = Duration::from_millis(1);

const fn ten() -> u8 {
    10
}

impl Window {
    /// The last `calls`, at most 8,192.
    #[must_use]
    pub const fn calls(calls: u32) -> Self {
        Self::Calls(calls)
    }

    /// The calls of the last `length`, in ten slices. Its memory does not depend on how many they are.
    #[must_use]
    pub const fn time(length: Duration) -> Self {
        Self::Time {
            length,
            slices: ten(),
        }
    }

    /// The same in another number of slices, from 2 to 60; nothing for a window of calls.
    #[must_use]
    pub const fn with_slices(self, slices: u8) -> Self {
        match self {
            Self::Calls(_) => self,
            Self::Time { length, .. } => Self::Time { length, slices },
        }
    }

    pub(super) fn check(self) -> Result<(), InvalidSetting> {
        let wrong = |reason: &'static str| Err(InvalidSetting::new("window", reason));
        match self {
            Self::Calls(0) => wrong("at least 1 call"),
            Self::Calls(calls) if calls > MOST_CALLS => wrong(
                "at most 8192 calls; a window of time (`Window::time`) holds any number of them",
            ),
            Self::Time { slices, .. } if !(2..=60).contains(&slices) => {
                wrong("from 2 to 60 slices")
            }
            Self::Time { length, slices } if length / u32::from(slices) < SHORTEST_SLICE => {
                wrong("each slice is at least 1 ms long")
            }
            Self::Time { length, .. } if length > super::settings::LONGEST => {
                wrong("at most a day long")
            }
            Self::Calls(_) | Self::Time { .. } => Ok(()),
        }
    }
}
