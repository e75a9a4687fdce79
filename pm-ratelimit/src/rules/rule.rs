use std::collections::BTreeMap;

use super::{By, Multiplier};
use crate::{OnFailure, Quota};

/// `ADMIN` five times, `MANAGER` three times, everybody else once: for [`Rule::roles`].
pub const STANDARD_ROLES: [(&str, u32); 2] = [("admin", 5), ("manager", 3)];

/// One limit, as plain data: it is checked when a [`Limiter`](crate::Limiter) is built from it.
///
/// ```
/// use pm_ratelimit::{By, OnFailure, Quota, Rule, STANDARD_ROLES, Stage};
///
/// let login = Rule::on("POST /login")
///     .by(By::Client)
///     .quota(Quota::per_minute(5))
///     .stage(Stage::Edge)
///     .if_store_fails(OnFailure::Closed);
/// let user = Rule::always()
///     .by(By::User)
///     .quota(Quota::per_minute(300).burst(50))
///     .roles(STANDARD_ROLES);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(::serde::Serialize, ::serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Rule {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) on: Option<String>,
    pub(crate) by: By,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) quota: Option<Quota>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) cost: Option<u32>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) priority: i32,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) stage: Option<Stage>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) roles: BTreeMap<String, Multiplier>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) shadow: bool,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) if_store_fails: OnFailure,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) leased: Option<u32>,
}

#[cfg(feature = "serde")]
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// When a rule is decided. All rules of one stage that apply are one decision, all or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(::serde::Serialize, ::serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Stage {
    /// Before authentication: only the client's address and the connection are known.
    Edge,
    /// After it, when it is known who is calling.
    Identified,
}

impl Stage {
    /// Its name: `edge` or `identified`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Identified => "identified",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Edge, Self::Identified];
        all.into_iter().find(|stage| stage.as_str() == name)
    }
}

impl Rule {
    /// A rule about requests or operations.
    ///
    /// A path is written as in axum, with a method before it or without: `POST /login`,
    /// `/projects/{id}/tasks`, `GET /files/{*rest}`. `GET` includes `HEAD`. Where axum says which
    /// route a request took (feature `axum`), the pattern is compared with the route, so write it as
    /// the route is written; names of parameters do not matter. Elsewhere it is compared with the
    /// path of the request in its normal form: decoded, without empty segments and dots.
    ///
    /// Without a slash it is the name of an [operation](crate::Op): `task.update`, or `task.*`.
    ///
    /// Of all such rules that match a request, one applies: the one with the highest
    /// [priority](Self::priority), then the most specific (literal segments over parameters over
    /// wildcards, from the left; then an exact method over any), then the first by name.
    pub fn on(pattern: impl Into<String>) -> Self {
        Self {
            on: Some(pattern.into()),
            ..Self::default()
        }
    }

    /// A rule about everything in its stage, in addition to all others.
    pub fn always() -> Self {
        Self::default()
    }

    /// Whose bucket is charged. Without it, [`By::Caller`].
    ///
    /// Where that is not known (there is no user yet, or never will be), the rule does not apply,
    /// and that is counted: [`Stats::unidentified`](crate::Stats::unidentified). Give those a rule
    /// by client. Only the layer knows one case that is an error: an HTTP request without an
    /// address.
    pub fn by(mut self, by: By) -> Self {
        self.by = by;
        self
    }

    /// How much each of them may do. There is no rule without.
    pub const fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// How many tokens one request takes, times the [cost of the operation](crate::Op::cost).
    /// Without it, 1.
    pub const fn cost(mut self, tokens: u32) -> Self {
        self.cost = Some(tokens);
        self
    }

    /// Goes before rules of lower priority that match, too, however specific those are. Without it,
    /// 0.
    pub const fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// When it is decided. Without it, rules by client or everyone that are not about an operation
    /// are at the edge, the others behind authentication.
    pub const fn stage(mut self, stage: Stage) -> Self {
        self.stage = Some(stage);
        self
    }

    /// Users with this role have so many times the quota, rate and burst. ASCII case is ignored. Of
    /// several roles, the largest multiplier counts. Only for rules by user.
    pub fn role(mut self, role: impl Into<String>, multiplier: impl Into<Multiplier>) -> Self {
        self.roles.insert(role.into(), multiplier.into());
        self
    }

    /// Several [roles](Self::role).
    pub fn roles<R: Into<String>, M: Into<Multiplier>>(
        mut self,
        roles: impl IntoIterator<Item = (R, M)>,
    ) -> Self {
        let roles = roles.into_iter();
        self.roles
            .extend(roles.map(|(role, multiplier)| (role.into(), multiplier.into())));
        self
    }

    /// A rule on trial: charged and counted, but it refuses nobody and no header shows it.
    pub const fn shadow(mut self) -> Self {
        self.shadow = true;
        self
    }

    /// What the answer is when the store cannot decide. If several rules apply, one that is closed
    /// is enough for a no. Without it, [`OnFailure::Local`].
    pub const fn if_store_fails(mut self, on_failure: OnFailure) -> Self {
        self.if_store_fails = on_failure;
        self
    }

    /// Each instance takes up to `tokens` of a bucket ahead and decides by them without asking: fewer
    /// round trips, for being exact only to within what is held. It means something to the store
    /// `Leases` (feature `redis`), which states the bound. Without it, every decision asks the store.
    ///
    /// At most the burst, of the smallest quota that a role gives.
    pub const fn leased(mut self, tokens: u32) -> Self {
        self.leased = Some(tokens);
        self
    }
}
