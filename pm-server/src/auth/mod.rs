//! Who is calling: tokens (JWT, RFC 7519) that this server signs and verifies with its own key.
//!
//! [`Keys`] holds the key pair of a data folder, [`Claims`] are what a token says, [`Verified`] is
//! what is left of a token once it was checked. [`AuthenticateLayer`] does it for HTTP requests; a
//! socket may bring its token in the first frame instead, and calls [`Keys::verify`].

mod challenge;
mod claims;
mod error;
mod key_file;
mod keys;
mod layer;
mod role;
mod token;

use std::{path::Path, time::Duration};

use pm_core::Clock;

pub(crate) use self::layer::bearer;
pub use self::{
    challenge::challenge,
    claims::{Claims, Verified},
    error::{AuthError, KeyError},
    keys::Keys,
    layer::{Authenticate, AuthenticateLayer, ResponseFuture},
    role::Role,
    token::Token,
};

/// The subject of [`local_token`].
const LOCAL_SUBJECT: &str = "local";

/// How long a [`local_token`] is good for. Whoever can make one can make another, so a short life would
/// protect nothing, and would end a `watch` that somebody leaves open.
const LOCAL_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// A token for whoever may read the data folder: subject `local`, role admin, for 30 days.
///
/// # Errors
///
/// There is no key in the folder, or this user may not read it.
pub fn local_token(data: &Path, tenant: &str, clock: &Clock) -> Result<Token, KeyError> {
    let claims = Claims::new(
        LOCAL_SUBJECT,
        tenant,
        Role::Admin,
        clock.wall_micros(),
        LOCAL_LIFETIME,
    );
    Keys::load(data)?.sign(&claims)
}

#[cfg(test)]
mod tests;
