use pm_core::Clock;

use crate::{
    auth::{Claims, KeyError, Keys, Token},
    config::MakeToken,
};

/// `pm-server token`: a token from the key in the data folder.
///
/// # Errors
///
/// There is no key there, or this user may not read it.
pub fn token(settings: &MakeToken, clock: &Clock) -> Result<Token, KeyError> {
    let MakeToken {
        subject, expires, ..
    } = settings;
    let now_us = clock.wall_micros();
    let claims = if settings.operator {
        Claims::operator(subject, now_us, *expires)
    } else {
        let tenant = settings.tenant.as_str();
        Claims::new(subject, tenant, settings.role, now_us, *expires)
    };
    Keys::load(&settings.data.folder)?.sign(&claims)
}
