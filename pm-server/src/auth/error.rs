use std::{io, path::PathBuf};

/// Why a token is not accepted. No variant holds any part of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// It is not signed with RS256, the one algorithm there is.
    #[error("the token is not signed with RS256")]
    Algorithm,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
    /// It is not a token.
    #[error("the token is malformed")]
    Malformed,
    /// It will be valid later.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It is good, for the server and for none of its tenants.
    #[error(
        "the token is an operator's, which opens no tenant: make one with `pm-server token --tenant`"
    )]
    Operator,
    /// Another issuer made it, or made it for something else.
    #[error("the token was not made for this server")]
    Purpose,
    /// The signature does not belong to what it claims.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is good, for another tenant.
    #[error("the token is for another tenant")]
    Tenant,
    /// It does not name the key that signs here.
    #[error("the token was signed with another key")]
    UnknownKey,
}

/// Why there is no signing key to work with. No variant holds any part of the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file holds something else.
    #[error(
        "{} does not hold an RSA key; put the right file back, or delete it to get a new key, \
         which ends every token",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with the content.
        #[source]
        source: Option<jsonwebtoken::errors::Error>,
    },
    /// The machine cannot make keys.
    #[error("no signing key could be generated")]
    Generate,
    /// There is none.
    #[error(
        "there is no signing key at {}; start pm-server with this data folder first",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Others may read it.
    #[error(
        "the signing key {path} may be read by others (mode {mode:04o}); make it private: \
         chmod 600 {path}",
        path = path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// The permission bits that it has.
        mode: u32,
    },
    /// The key does not sign.
    #[error("the token could not be signed")]
    Sign(#[source] jsonwebtoken::errors::Error),
    /// It is there and cannot be read.
    #[error("cannot read the signing key {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A new one cannot be kept.
    #[error("cannot write the signing key {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}
