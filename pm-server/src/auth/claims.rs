use std::time::Duration;

use pm_core::Identity;
use serde::{Deserialize, Deserializer, Serialize};

use super::{AuthError, Role};

/// The `iss` of every token that this server signs, and the only one it takes.
const ISSUER: &str = "pm-server";
/// The `aud` likewise.
const AUDIENCE: &str = "pm";

/// What a token says (RFC 7519). Times are whole seconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    sub: String,
    #[serde(
        default,
        deserialize_with = "named",
        skip_serializing_if = "Option::is_none"
    )]
    tenant: Option<String>,
    roles: Vec<String>,
    iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    exp: i64,
}

/// Who a token was made for, after everything about it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The caller, with tenant and roles.
    pub identity: Identity,
    /// When the token ends, in microseconds since 1970, UTC.
    pub expires_at_us: i64,
}

impl Claims {
    /// Claims for `subject` with one role in one tenant, from `now_us` (microseconds since 1970,
    /// UTC) on, for `lifetime`.
    #[must_use]
    pub fn new(subject: &str, tenant: &str, role: Role, now_us: i64, lifetime: Duration) -> Self {
        let operator = Self::operator(subject, now_us, lifetime);
        Self {
            tenant: Some(tenant.to_owned()),
            roles: vec![role.as_str().to_owned()],
            ..operator
        }
    }

    /// Claims for an operator, who looks after the server and is in none of its tenants: the role admin,
    /// and no tenant.
    #[must_use]
    pub fn operator(subject: &str, now_us: i64, lifetime: Duration) -> Self {
        let iat = now_us.div_euclid(1_000_000);
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_owned(),
            tenant: None,
            roles: vec![Role::Admin.as_str().to_owned()],
            iat,
            nbf: None,
            exp: iat.saturating_add(lifetime),
        }
    }

    /// Everything but the signature. No leeway: the clock that signs is the clock that checks.
    pub(super) fn verify(self, now_us: i64) -> Result<Verified, AuthError> {
        if self.iss != ISSUER || self.aud != AUDIENCE {
            return Err(AuthError::Purpose);
        }
        let stands_for_somebody = match &self.tenant {
            Some(tenant) => !tenant.is_empty(),
            None => self.roles == [Role::Admin.as_str()],
        };
        if self.sub.is_empty() || !stands_for_somebody {
            return Err(AuthError::Malformed);
        }
        let expires_at_us = self.exp.saturating_mul(1_000_000);
        if now_us >= expires_at_us {
            return Err(AuthError::Expired);
        }
        if self
            .nbf
            .is_some_and(|nbf| now_us < nbf.saturating_mul(1_000_000))
        {
            return Err(AuthError::NotYetValid);
        }
        let identity = Identity::new(self.sub).with_roles(self.roles);
        Ok(Verified {
            identity: match self.tenant {
                Some(tenant) => identity.with_tenant(tenant),
                None => identity,
            },
            expires_at_us,
        })
    }
}

/// A field that is there says something: null is no name.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl Verified {
    /// Checks that the token is good for `tenant`.
    ///
    /// # Errors
    ///
    /// [`AuthError::Tenant`] if it is another one's, [`AuthError::Operator`] if it is nobody's.
    pub fn check_tenant(&self, tenant: &str) -> Result<(), AuthError> {
        if self.tenant()? == tenant {
            Ok(())
        } else {
            Err(AuthError::Tenant)
        }
    }

    /// The tenant that the token is for.
    ///
    /// # Errors
    ///
    /// [`AuthError::Operator`] if it is an operator's.
    pub fn tenant(&self) -> Result<&str, AuthError> {
        self.identity.tenant().ok_or(AuthError::Operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_500_000;

    fn claims() -> Claims {
        Claims::new("ada", "acme", Role::Editor, NOW, Duration::from_secs(60))
    }

    #[test]
    fn the_end_is_exact_to_the_microsecond() {
        let end = 1_767_225_660_000_000;
        let verified = claims().verify(end - 1).unwrap();
        assert_eq!(verified.expires_at_us, end);
        assert_eq!(claims().verify(end), Err(AuthError::Expired));
    }

    #[test]
    fn a_token_of_the_future_must_wait() {
        let nbf = 1_767_225_610;
        let later = || Claims {
            nbf: Some(nbf),
            ..claims()
        };
        assert_eq!(later().verify(NOW), Err(AuthError::NotYetValid));
        assert!(later().verify(nbf * 1_000_000).is_ok());
    }

    #[test]
    fn an_endless_lifetime_does_not_overflow() {
        let claims = Claims::new("ada", "acme", Role::Viewer, NOW, Duration::MAX);
        assert_eq!(claims.verify(NOW).unwrap().expires_at_us, i64::MAX);
    }

    #[test]
    fn other_peoples_purposes_are_not_ours() {
        let other = Claims {
            iss: "elsewhere".into(),
            ..claims()
        };
        assert_eq!(other.verify(NOW), Err(AuthError::Purpose));
        let other = Claims {
            aud: "billing".into(),
            ..claims()
        };
        assert_eq!(other.verify(NOW), Err(AuthError::Purpose));
    }

    #[test]
    fn one_tenants_token_is_not_anothers() {
        let verified = claims().verify(NOW).unwrap();
        assert_eq!(verified.tenant(), Ok("acme"));
        assert_eq!(verified.check_tenant("acme"), Ok(()));
        assert_eq!(verified.check_tenant("ACME"), Err(AuthError::Tenant));
        assert_eq!(verified.check_tenant(""), Err(AuthError::Tenant));
    }

    #[test]
    fn an_operator_is_in_no_tenant() {
        let operator = || Claims::operator("grace", NOW, Duration::from_secs(60));
        let verified = operator().verify(NOW).unwrap();
        let grace = Identity::new("grace").with_roles(["admin"]);
        assert_eq!(verified.identity, grace);
        assert_eq!(verified.tenant(), Err(AuthError::Operator));
        for tenant in ["acme", ""] {
            assert_eq!(verified.check_tenant(tenant), Err(AuthError::Operator));
        }
        for claims in [
            Claims {
                tenant: Some(String::new()),
                ..operator()
            },
            Claims {
                roles: vec!["editor".into()],
                ..operator()
            },
            Claims {
                roles: vec!["admin".into(), "viewer".into()],
                ..operator()
            },
            Claims {
                roles: vec![],
                ..operator()
            },
            Claims {
                sub: String::new(),
                ..operator()
            },
        ] {
            assert_eq!(claims.verify(NOW), Err(AuthError::Malformed));
        }
    }

    #[test]
    fn a_tenant_is_a_name_or_not_there() {
        let json = |claims: &Claims| serde_json::to_value(claims).unwrap();
        let mut operator = json(&Claims::operator("grace", NOW, Duration::from_secs(60)));
        assert!(operator.get("tenant").is_none());
        assert!(serde_json::from_value::<Claims>(operator.clone()).is_ok());
        for tenant in [serde_json::Value::Null, 5.into(), ["acme"].into()] {
            operator["tenant"] = tenant;
            assert!(serde_json::from_value::<Claims>(operator.clone()).is_err());
        }
        assert_eq!(json(&claims())["tenant"], "acme");
    }
}
