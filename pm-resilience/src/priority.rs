use std::fmt;

/// How much a request matters when not all can be served. What sheds finds it in the extensions of
/// a request, where whoever knows the caller has put it; a request without one is
/// [`Normal`](Self::Normal).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Priority {
    /// It may be done at any other time: a batch, a prefetch.
    Low,
    /// What there is most of.
    #[default]
    Normal,
    /// Somebody waits for it who was promised an answer.
    High,
    /// Without it, nothing else works: operating the service itself.
    Critical,
}

impl Priority {
    /// All of them, the least important first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
