use std::time::Duration;

use pm_core::Identity;
use serde::{Deserialize, Serialize};

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
    tenant: String,
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
        let iat = now_us.div_euclid(1_000_000);
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_owned(),
            tenant: tenant.to_owned(),
            roles: vec![role.as_str().to_owned()],
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
        if self.sub.is_empty() || self.tenant.is_empty() {
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
        Ok(Verified {
            identity: Identity::new(self.sub)
                .with_tenant(self.tenant)
                .with_roles(self.roles),
            expires_at_us,
        })
    }
}

impl Verified {
    /// Checks that the token is good for `tenant`.
    ///
    /// # Errors
    ///
    /// [`AuthError::Tenant`] if it is another one's.
    pub fn check_tenant(&self, tenant: &str) -> Result<(), AuthError> {
        if self.identity.tenant() == Some(tenant) {
            Ok(())
        } else {
            Err(AuthError::Tenant)
        }
    }

    /// The tenant that the token is for.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.identity.tenant().unwrap_or_default()
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
        assert_eq!(verified.tenant(), "acme");
        assert_eq!(verified.check_tenant("acme"), Ok(()));
        assert_eq!(verified.check_tenant("ACME"), Err(AuthError::Tenant));
        assert_eq!(verified.check_tenant(""), Err(AuthError::Tenant));
    }
}
