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
    let claims = Claims::new(
        &settings.subject,
        settings.tenant.as_str(),
        settings.role,
        clock.wall_micros(),
        settings.expires,
    );
    Keys::load(&settings.data.folder)?.sign(&claims)
}
