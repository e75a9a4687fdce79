use std::fmt;

/// What kind of operation a call is: each has a time-out of its own, and is told apart in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// It changes nothing, so that it may be repeated.
    #[default]
    Read,
    /// It changes something.
    Write,
    /// It is about many things at once, and may take longer.
    Batch,
    /// A class of your own, by its name.
    Custom(&'static str),
}

impl Class {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Batch => "batch",
            Self::Custom(name) => name,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
