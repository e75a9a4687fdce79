//! Who is calling, as established by whatever authenticated the request.
//!
//! An authentication layer puts an [`Identity`] into the request's extensions; every other layer
//! finds it there. Role names are open: a service has its own, compared without regard to ASCII
//! case. Where roles form a ladder, a [`RoleOrder`] says so:
//!
//! ```
//! use pm_core::{Identity, RoleOrder};
//!
//! let order = RoleOrder::new(["viewer", "editor", "admin"]);
//! let ada = Identity::new("ada").with_tenant("acme").with_roles(["EDITOR"]);
//! assert!(ada.has_role("editor"));
//! assert!(ada.at_least(&order, "viewer"));
//! assert!(!ada.at_least(&order, "admin"));
//! ```

use std::sync::Arc;

/// An authenticated caller. Cheap to clone.
///
/// Nothing in it is secret, so it may be logged where the subject may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    subject: Arc<str>,
    tenant: Option<Arc<str>>,
    /// Lower case, sorted and without repetition, so that equal sets are equal values.
    roles: Arc<[Box<str>]>,
}

impl Identity {
    /// A caller without tenant and without roles.
    #[must_use]
    pub fn new(subject: impl Into<Arc<str>>) -> Self {
        Self {
            subject: subject.into(),
            tenant: None,
            roles: Arc::new([]),
        }
    }

    /// The same caller, acting in `tenant`.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// The same caller with `roles` in addition to those it has.
    #[must_use]
    pub fn with_roles<R: AsRef<str>>(mut self, roles: impl IntoIterator<Item = R>) -> Self {
        let mut all: Vec<Box<str>> = self.roles.to_vec();
        all.extend(
            roles
                .into_iter()
                .map(|role| role.as_ref().to_ascii_lowercase().into()),
        );
        all.sort_unstable();
        all.dedup();
        self.roles = all.into();
        self
    }

    /// Who it is: unique within a tenant, or everywhere where there are no tenants.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whose data it acts on, in a service with tenants.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The roles it has, in lower case and in alphabetical order.
    pub fn roles(&self) -> impl ExactSizeIterator<Item = &str> {
        self.roles.iter().map(AsRef::as_ref)
    }

    /// Whether it has exactly this role. ASCII case is ignored.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles
            .iter()
            .any(|held| held.eq_ignore_ascii_case(role))
    }

    /// Whether one of its roles is `role` or stands above it in `order`.
    ///
    /// False if `order` does not know `role`. Roles that `order` does not know count for nothing.
    #[must_use]
    pub fn at_least(&self, order: &RoleOrder, role: &str) -> bool {
        order.rank(role).is_some_and(|needed| {
            self.roles
                .iter()
                .filter_map(|held| order.rank(held))
                .any(|rank| rank >= needed)
        })
    }
}

/// Roles that form a ladder: each includes all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleOrder(Arc<[Box<str>]>);

impl RoleOrder {
    /// The roles from the least to the most powerful.
    ///
    /// # Panics
    ///
    /// If a role is listed twice (ASCII case is ignored): it would have two places.
    #[must_use]
    pub fn new<R: AsRef<str>>(lowest_first: impl IntoIterator<Item = R>) -> Self {
        let mut roles: Vec<Box<str>> = Vec::new();
        for role in lowest_first {
            let role = role.as_ref().to_ascii_lowercase().into_boxed_str();
            assert!(
                !roles.contains(&role),
                "the role {role:?} is listed twice in a RoleOrder"
            );
            roles.push(role);
        }
        Self(roles.into())
    }

    /// The place of `role`, 0 being the lowest. ASCII case is ignored.
    #[must_use]
    pub fn rank(&self, role: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|known| known.eq_ignore_ascii_case(role))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LADDER: [&str; 3] = ["viewer", "editor", "admin"];

    #[test]
    fn role_names_are_open_and_ignore_case() {
        let identity = Identity::new("u1").with_roles(["MANAGER", "on-call"]);
        assert!(identity.has_role("manager") && identity.has_role("On-Call"));
        assert!(!identity.has_role("admin"));
        assert_eq!(identity.roles().collect::<Vec<_>>(), ["manager", "on-call"]);
    }

    #[test]
    fn equal_sets_of_roles_are_equal_identities() {
        let one = Identity::new("u1").with_roles(["a", "B"]).with_roles(["b"]);
        assert_eq!(one, Identity::new("u1").with_roles(["B", "A"]));
        assert_ne!(
            one,
            Identity::new("u1")
                .with_tenant("acme")
                .with_roles(["B", "A"])
        );
    }

    #[test]
    fn an_unknown_role_is_never_reached() {
        let order = RoleOrder::new(LADDER);
        let admin = Identity::new("root").with_roles(["admin"]);
        assert!(!admin.at_least(&order, "superuser"));
        assert!(
            !Identity::new("x")
                .with_roles(["superuser"])
                .at_least(&order, "viewer")
        );
        assert!(!Identity::new("nobody").at_least(&order, "viewer"));
    }

    #[test]
    #[should_panic(expected = "the role \"viewer\" is listed twice")]
    fn a_ladder_has_one_rung_per_role() {
        let _ = RoleOrder::new(["viewer", "editor", "Viewer"]);
    }

    fn some_roles() -> impl Strategy<Value = Vec<&'static str>> {
        proptest::collection::vec(
            prop_oneof![Just("viewer"), Just("EDITOR"), Just("Admin"), Just("guest")],
            0..4,
        )
    }

    proptest! {
        #[test]
        fn p003_5_permission_composition(a in some_roles(), b in some_roles(), needed in 0usize..3) {
            let order = RoleOrder::new(LADDER);
            let needed = LADDER[needed];
            let with = |roles: &[&str]| Identity::new("u").with_roles(roles);
            let union = with(&a).with_roles(&b);
            prop_assert_eq!(
                union.at_least(&order, needed),
                with(&a).at_least(&order, needed) || with(&b).at_least(&order, needed),
                "roles add up and never cancel out"
            );
            if union.at_least(&order, needed) {
                for below in &LADDER[..order.rank(needed).expect("it is on the ladder")] {
                    prop_assert!(union.at_least(&order, below), "who may the more may the less");
                }
            }
        }
    }
}
