use crate::{Error, InvalidRules, Rule};

/// What somebody wants changed about one rule.
///
/// ```
/// use pm_ratelimit::rule_book::Edit;
/// use pm_ratelimit::{By, Quota, Rule};
///
/// let rule = Rule::on("POST /login").by(By::Client).quota(Quota::per_minute(5));
/// let whatever_is_there = Edit::put("login", rule.clone());
/// let if_nobody_else_has_changed_it = Edit::put("login", rule).seen(7);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Edit {
    pub(super) name: String,
    pub(super) rule: Option<Rule>,
    pub(super) seen: Option<u64>,
}

impl Edit {
    /// The rule of this name is this one.
    pub fn put(name: impl Into<String>, rule: Rule) -> Self {
        Self {
            name: name.into(),
            rule: Some(rule),
            seen: None,
        }
    }

    /// There is no rule of this name; if there is one in the configuration, it counts again.
    pub fn remove(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            rule: None,
            seen: None,
        }
    }

    /// Only if the stored rule of this name has this version, 0 being that there is none: what
    /// somebody else has written meanwhile is not overwritten. If they have written the same, that is
    /// no conflict.
    pub const fn seen(mut self, version: u64) -> Self {
        self.seen = Some(version);
        self
    }
}

/// Why something was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// Somebody else has changed the rule since it was looked at.
    #[error("the rule {rule:?} has version {version} by now: look at it again")]
    Conflict {
        /// The name of the rule.
        rule: Box<str>,
        /// The version that it has, 0 if there is none of this name.
        version: u64,
    },

    /// Others kept changing rules: try again.
    #[error("others are changing rules at the same time: try again")]
    Contended,

    /// Together with all other rules it is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidRules),

    /// The store did not answer. It may have changed something nevertheless; to try it again does no
    /// harm.
    #[error(transparent)]
    Store(#[from] Error),
}
