//! How large it may be what a store is given.

use pm_core::Identity;

use crate::{By, InvalidRules, PolicyName, Rule, User};

/// The longest pattern, in bytes.
const PATTERN: usize = 1_024;

/// The most roles of a rule.
const ROLES: usize = 64;

/// The longest name of a role, in bytes.
const ROLE: usize = 64;

/// The longest user id and tenant, in bytes.
const ID: usize = 255;

/// What a rule is called. Nothing else is checked than what a store cannot hold.
pub(super) fn check(name: &str, rule: &Rule) -> Result<PolicyName, InvalidRules> {
    let invalid = |field, message: &'static str| Err(InvalidRules::new(name, field, message));
    let pattern = rule.on.as_deref().unwrap_or_default();
    if pattern.len() > PATTERN || has_control(pattern) {
        return invalid(
            "on",
            "a pattern has at most 1,024 bytes, and no control characters",
        );
    }
    if matches!(&rule.by, By::Custom(kind) if has_control(kind)) {
        return invalid("by", "a kind has no control characters");
    }
    let mut roles = rule.roles.keys();
    if rule.roles.len() > ROLES || roles.any(|role| role.len() > ROLE || has_control(role)) {
        return invalid(
            "roles",
            "a rule has at most 64 roles, of at most 64 bytes, without control characters",
        );
    }
    check_name(name)
}

pub(super) fn check_name(name: &str) -> Result<PolicyName, InvalidRules> {
    PolicyName::try_from(name.to_owned())
        .map_err(|error| InvalidRules::new(name, "name", error.to_string()))
}

/// The user as one who may have a quota by this rule.
pub(super) fn check_user(rule: &str, user: &Identity) -> Result<Identity, InvalidRules> {
    let user = User::from(user);
    if may_have_a_quota(user) {
        return Ok(user.to_identity());
    }
    Err(InvalidRules::new(
        rule,
        "user_id",
        "a user id and a tenant have 1 to 255 bytes, and no control characters",
    ))
}

/// Nobody else can have been assigned one.
pub(super) fn may_have_a_quota(user: User<'_>) -> bool {
    let fits = |id: &str| (1..=ID).contains(&id.len()) && !has_control(id);
    fits(user.name()) && user.tenant().is_none_or(fits)
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}
