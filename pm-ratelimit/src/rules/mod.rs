//! Rules: what is limited, by what, and how much. Plain data first, then compiled once.

mod by;
mod compiled;
mod invalid;
mod list;
mod matcher;
mod multiplier;
mod path;
mod pattern;
mod reductions;
mod rule;
#[cfg(feature = "serde")]
mod serde;

pub use self::by::{By, InvalidBy};
pub use self::invalid::InvalidRules;
pub use self::list::Rules;
pub use self::multiplier::{InvalidMultiplier, Multiplier};
pub use self::path::MalformedPath;
pub use self::rule::{Rule, STANDARD_ROLES, Stage};

pub(crate) use self::compiled::{Compiled, Picks, RuleSet, Single};
pub(crate) use self::path::Path;
#[cfg(feature = "admin")]
pub(crate) use self::path::decoded;
pub(crate) use self::reductions::Reductions;
