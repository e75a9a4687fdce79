use pm_core::Cidr;

use super::Threshold;

/// Somebody was refused more often than they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert {
    /// Who: an IPv4 address, or the /64 of an IPv6 one.
    pub prefix: Cidr,
    /// When, in microseconds since 1970.
    pub at_micros: i64,
    /// Who has counted.
    pub scope: Scope,
    /// What was passed.
    pub threshold: Threshold,
}

/// Who has counted the violations behind an [`Alert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// This instance alone: the alert comes with the refusal that passes the threshold.
    Instance,
    /// All instances that share a store: it comes with the next flush, on the instance whose
    /// violations passed the threshold, and nowhere else.
    Fleet,
}

impl Scope {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Fleet => "fleet",
        }
    }
}
