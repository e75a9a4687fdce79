use std::sync::Arc;

use crate::block::Cause;

/// An emergency that is in force: what, since when, until when, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared {
    /// The name of the profile that is applied to the rules.
    pub profile: Arc<str>,
    /// Whether somebody has declared it, or a reading.
    pub cause: Cause,
    /// Since when, in microseconds since 1970.
    pub since_micros: i64,
    /// Until when, in microseconds since 1970, unless it is left before or prolonged.
    pub until_micros: i64,
    /// The name of whoever declared it.
    pub by: Box<str>,
    /// Why, in their words.
    pub because: Box<str>,
}
