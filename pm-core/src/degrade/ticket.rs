use std::fmt;

use super::Switch;

/// A call of the primary that has begun; see [`Switch::begin`].
///
/// It holds nothing: one that is dropped, because its caller went away, leaves only a count behind.
#[must_use = "a call that is never settled says nothing about the primary"]
pub struct Ticket<'a> {
    switch: &'a Switch,
    generation: u64,
    settled: bool,
}

/// What became of a call of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It answered, be it with an error that is the caller's own.
    Answered,
    /// The connection broke after the call was sent; it may have acted.
    Lost,
    /// It could not be reached, or said that it cannot work now; it did not act.
    Refused,
    /// It did not answer within the deadline; it may have acted, or may still.
    TimedOut,
}

impl<'a> Ticket<'a> {
    pub(super) fn new(switch: &'a Switch, generation: u64) -> Self {
        Self {
            switch,
            generation,
            settled: false,
        }
    }

    /// Reports how the call ended. If the switch has been thrown since it began, that is counted
    /// and changes nothing.
    pub fn settle(mut self, outcome: Outcome) {
        self.settled = true;
        self.switch.settle(self.generation, outcome);
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.switch.abandon();
        }
    }
}

impl fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("switch", &self.switch.name())
            .finish_non_exhaustive()
    }
}

impl Outcome {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Lost => "connection lost",
            Self::Refused => "unavailable",
            Self::TimedOut => "deadline missed",
        }
    }
}

/// An attempt to find out whether the primary is back; see [`Switch::probe`].
///
/// Dropped without having passed, it leaves everything as it was.
#[must_use = "the switch stays down until a probe has passed"]
pub struct Probe<'a> {
    switch: &'a Switch,
    generation: u64,
}

impl<'a> Probe<'a> {
    pub(super) fn new(switch: &'a Switch, generation: u64) -> Self {
        Self { switch, generation }
    }

    /// The primary works: throws the switch. False if another probe did before.
    pub fn passed(self) -> bool {
        self.switch.rise(self.generation)
    }
}

impl fmt::Debug for Probe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe")
            .field("switch", &self.switch.name())
            .finish_non_exhaustive()
    }
}
