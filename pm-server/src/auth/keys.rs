use std::{fmt, path::Path};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    errors::{Error as JwtError, ErrorKind},
    jwk::{Jwk, ThumbprintHash},
};

use super::{AuthError, Claims, KeyError, Token, Verified, key_file};

/// No token of ours comes near it; a longer one is not worth decoding.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The key pair that signs and verifies tokens: RSA, 2048 bits, used with RS256 only.
pub struct Keys {
    /// The thumbprint of the public key (RFC 7638): another key has another name.
    id: String,
    private: EncodingKey,
    public: DecodingKey,
    validation: Validation,
}

impl Keys {
    /// The key pair of a data folder; `true` if it had to be made. The folder must exist, and this
    /// server must be the only one that uses it.
    ///
    /// Generating one takes some 100 ms of computing.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, holds something else, or may be read by others.
    pub fn load_or_create(data: &Path) -> Result<(Self, bool), KeyError> {
        match Self::load(data) {
            Err(KeyError::Missing { path }) => {
                let pem = generate()?;
                key_file::write(&path, &pem)?;
                Ok((Self::from_pem(pem.as_bytes(), &path)?, true))
            }
            found => Ok((found?, false)),
        }
    }

    /// The key pair of a data folder that has one.
    ///
    /// # Errors
    ///
    /// As [`Keys::load_or_create`]; [`KeyError::Missing`] if there is none.
    pub fn load(data: &Path) -> Result<Self, KeyError> {
        let path = key_file::path(data);
        Self::from_pem(&key_file::read(&path)?, &path)
    }

    /// A new key pair that nobody keeps.
    ///
    /// # Errors
    ///
    /// [`KeyError::Generate`].
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_pem(generate()?.as_bytes(), Path::new("a new key"))
    }

    /// A token that says `claims`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Sign`].
    pub fn sign(&self, claims: &Claims) -> Result<Token, KeyError> {
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(Algorithm::RS256)
        };
        jsonwebtoken::encode(&header, claims, &self.private)
            .map(|text| Token::new(&text))
            .map_err(KeyError::Sign)
    }

    /// Who `token` was made for, if this key signed it and it is valid at `now_us` (microseconds
    /// since 1970, UTC). Takes some 30 µs.
    ///
    /// # Errors
    ///
    /// Anything about it is not as it should be.
    pub fn verify(&self, token: &str, now_us: i64) -> Result<Verified, AuthError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| header_error(&error))?;
        if header.alg != Algorithm::RS256 {
            return Err(AuthError::Algorithm);
        }
        // RFC 7515 §4.1.11: extensions that must be understood, and none is.
        if header.crit.is_some() {
            return Err(AuthError::Malformed);
        }
        if header.kid.as_deref() != Some(self.id.as_str()) {
            return Err(AuthError::UnknownKey);
        }
        jsonwebtoken::decode::<Claims>(token, &self.public, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => AuthError::Signature,
                _ => AuthError::Malformed,
            })?
            .claims
            .verify(now_us)
    }

    fn from_pem(pem: &[u8], path: &Path) -> Result<Self, KeyError> {
        let damaged = |source| KeyError::Damaged {
            path: path.to_owned(),
            source,
        };
        let private = EncodingKey::from_rsa_pem(pem).map_err(|error| damaged(Some(error)))?;
        let pair = KeyPair::from_der(private.as_bytes()).map_err(|_| damaged(None))?;
        let public = DecodingKey::from_rsa_der(pair.public_key().as_ref());
        let id = Jwk::from_encoding_key(&private, Algorithm::RS256)
            .and_then(|key| key.thumbprint(ThumbprintHash::SHA256))
            .map_err(|error| damaged(Some(error)))?;
        Ok(Self {
            id,
            private,
            public,
            validation: signature_only(),
        })
    }

    #[cfg(test)]
    pub(super) fn public_der(&self) -> &[u8] {
        self.public.try_get_as_bytes().unwrap()
    }

    #[cfg(test)]
    pub(super) fn sign_as(&self, claims: &Claims, algorithm: Algorithm) -> String {
        let header = Header {
            kid: Some(self.id.clone()),
            ..Header::new(algorithm)
        };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The library checks the signature and nothing else: its clock is not the one we are handed, and
/// it forgives a minute.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

/// A header that is JSON and says something unknown names an algorithm that does not exist, like
/// `none`.
fn header_error(error: &JwtError) -> AuthError {
    match error.kind() {
        ErrorKind::Json(json) if json.is_data() => AuthError::Algorithm,
        _ => AuthError::Malformed,
    }
}

pub(super) fn generate() -> Result<String, KeyError> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Generate)?;
    Ok(pem::encode(&pem::Pem::new("PRIVATE KEY", der.as_ref())))
}
