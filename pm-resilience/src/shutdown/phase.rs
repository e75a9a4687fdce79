/// How far a process is on its way down. It only ever goes forward, and may skip a phase that nobody
/// needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// It takes work.
    Serving,
    /// It is not ready for more, and takes what comes nevertheless.
    Unready,
    /// It accepts nothing; what is under way may finish.
    Draining,
    /// What is under way is to stop.
    Cancelling,
    /// What is under way is dropped.
    Aborting,
    /// Nothing is under way; hooks run.
    Closing,
    /// There is nothing left to do.
    Ended,
}

impl Phase {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Unready => "unready",
            Self::Draining => "draining",
            Self::Cancelling => "cancelling",
            Self::Aborting => "aborting",
            Self::Closing => "closing",
            Self::Ended => "ended",
        }
    }

    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Serving,
            1 => Self::Unready,
            2 => Self::Draining,
            3 => Self::Cancelling,
            4 => Self::Aborting,
            5 => Self::Closing,
            _ => Self::Ended,
        }
    }
}
