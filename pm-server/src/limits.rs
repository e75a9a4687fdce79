//! Who may do how much, unless the settings say otherwise.

use pm_ratelimit::{
    By, Quota, Rule, Rules, STANDARD_ROLES,
    emergency::{Answer, Profile},
};

use crate::auth::Role;

/// The rules that are built in. The settings change, replace, add to and take out.
pub fn built_in() -> Rules {
    // What others call a manager is an editor here.
    let [(_, admin), (_, manager)] = STANDARD_ROLES;
    let roles = [
        (Role::Admin.as_str(), admin),
        (Role::Editor.as_str(), manager),
    ];
    // An address may be an office full of people, and has what one admin has.
    let client = Rule::always()
        .by(By::Client)
        .quota(Quota::per_minute(1500).burst(500));
    // A socket costs a task and, until its hello, belongs to nobody.
    let upgrade = Rule::on("GET /ws")
        .by(By::Client)
        .quota(Quota::per_minute(300).burst(100));
    // Not `always`: frames are in the same stage, and a user has many more of them.
    let user = Rule::on("/{*path}")
        .by(By::User)
        .quota(Quota::per_minute(300).burst(100))
        .roles(roles);
    // A project with everything in it.
    let context = Rule::on("GET /api/v1/projects/{id}/context")
        .by(By::User)
        .quota(Quota::per_minute(60).burst(20))
        .roles(roles);
    // In tokens, of which a change takes two. No roles: it is about what the machine can do.
    let frames = Rule::on("frame.*")
        .by(By::User)
        .quota(Quota::per_second(40_000).burst(80_000));
    // `always`, to be decided together with the rule on the frame. Only frames have a connection.
    let connection = Rule::always()
        .by(By::Connection)
        .quota(Quota::per_second(20_000).burst(40_000));
    Rules::new()
        .rule("client", client)
        .rule("upgrade", upgrade)
        .rule("user", user)
        .rule("context", context)
        .rule("frames", frames)
        .rule("connection", connection)
}

/// The rule that administration is under, in the place of all others: whoever may change those is not
/// kept out by them.
pub(crate) fn administration() -> Rules {
    let client = Rule::always()
        .by(By::Client)
        .quota(Quota::per_minute(300).burst(100));
    Rules::new().rule("administration", client)
}

/// What an emergency may make of the rules, by name: a part of everything. What only the emergency
/// refuses is answered with 503: it is nobody's fault, and gets nobody blocked.
pub(crate) fn profiles() -> [(&'static str, Profile); 2] {
    let reduced = |of| Profile::scale(1, of).answering(Answer::TemporaryReducedCapacity);
    [("reduced", reduced(5)), ("minimal", reduced(50))]
}

/// The same rules, the one of this name with another quota; `None` if there is none.
#[must_use]
pub fn with_quota(rules: &Rules, name: &str, quota: Quota) -> Option<Rules> {
    let (_, rule) = rules.iter().find(|(known, _)| *known == name)?;
    Some(with_rule(rules, name, rule.clone().quota(quota)))
}

/// The same rules and this one, in the place of the one that has its name.
pub(crate) fn with_rule(rules: &Rules, name: &str, rule: Rule) -> Rules {
    without_rule(rules, name).rule(name, rule)
}

/// The same rules but this one.
pub(crate) fn without_rule(rules: &Rules, name: &str) -> Rules {
    rules
        .iter()
        .filter(|(known, _)| *known != name)
        .fold(Rules::new(), |kept, (known, rule)| {
            kept.rule(known, rule.clone())
        })
}

#[cfg(test)]
mod tests {
    use pm_ratelimit::Limiter;

    use super::*;

    #[test]
    fn what_is_built_in_is_valid() {
        assert!(Limiter::builder(built_in()).build().is_ok());
    }

    #[test]
    fn a_quota_is_changed_where_there_is_one() {
        let quota = Quota::per_day(1);
        let changed = with_quota(&built_in(), "user", quota).unwrap();
        let names = |rules: &Rules| {
            let mut names: Vec<_> = rules.iter().map(|(name, _)| name.to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&changed), names(&built_in()));
        let differ = changed
            .iter()
            .filter(|(name, rule)| !built_in().iter().any(|same| same == (*name, *rule)));
        assert_eq!(differ.map(|(name, _)| name).collect::<Vec<_>>(), ["user"]);
        assert_eq!(with_quota(&built_in(), "users", quota), None);
    }
}
