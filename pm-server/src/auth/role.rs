use std::{fmt, sync::LazyLock};

use pm_core::{Identity, RoleOrder};

/// What somebody may do in a tenant. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Role {
    /// Read everything.
    Viewer,
    /// Change everything.
    Editor,
    /// Look after the tenant itself.
    Admin,
}

impl Role {
    /// Its name, as in a token.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// Whether `identity` has this role or one that includes it.
    #[must_use]
    pub fn is_held_by(self, identity: &Identity) -> bool {
        static ORDER: LazyLock<RoleOrder> =
            LazyLock::new(|| RoleOrder::new([Role::Viewer, Role::Editor, Role::Admin]));
        identity.at_least(&ORDER, self.as_str())
    }
}

impl AsRef<str> for Role {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_includes_editor_includes_viewer() {
        use Role::{Admin, Editor, Viewer};
        for (held, granted) in [
            (vec![], vec![]),
            (vec!["guest"], vec![]),
            (vec!["viewer"], vec![Viewer]),
            (vec!["Editor"], vec![Viewer, Editor]),
            (vec!["admin"], vec![Viewer, Editor, Admin]),
            (vec!["viewer", "editor", "guest"], vec![Viewer, Editor]),
        ] {
            let identity = Identity::new("ada").with_roles(&held);
            for role in [Viewer, Editor, Admin] {
                let wanted = granted.contains(&role);
                assert_eq!(role.is_held_by(&identity), wanted, "{held:?} {role}");
            }
        }
    }
}
