use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, StatusCode};

use super::answer::Fault;

/// What has to be so for a change to be made (RFC 9110 §13.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    None,
    /// There is one, of whatever version.
    IsThere,
    /// There is one of this version.
    Version(u64),
    /// There is none.
    IsNotThere,
}

impl Precondition {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Fault> {
        match (one(headers, &IF_MATCH)?, one(headers, &IF_NONE_MATCH)?) {
            (None, None) => Ok(Self::None),
            (None, Some("*")) => Ok(Self::IsNotThere),
            (Some("*"), None) => Ok(Self::IsThere),
            (Some(tag), None) => version(tag).map(Self::Version).ok_or_else(invalid),
            _ => Err(invalid()),
        }
    }

    /// For what has no versions: a condition that cannot be looked at is not met.
    pub(super) fn none_of(headers: &HeaderMap) -> Result<(), Fault> {
        match Self::of(headers)? {
            Self::None => Ok(()),
            _ => Err(Fault::new(
                StatusCode::PRECONDITION_FAILED,
                "this has no versions to compare with: leave the condition out",
            )),
        }
    }

    /// The version that a change has to find, 0 being that there is none. `current` is the one that
    /// there is as far as it is known.
    pub(super) fn seen(&self, current: u64) -> Result<Option<u64>, Fault> {
        match self {
            Self::None => Ok(None),
            Self::IsNotThere => Ok(Some(0)),
            Self::Version(version) => Ok(Some(*version)),
            Self::IsThere if current == 0 => Err(Fault::new(
                StatusCode::PRECONDITION_FAILED,
                "no rule of this name is stored; one of the configuration has no version",
            )),
            Self::IsThere => Ok(Some(current)),
        }
    }
}

fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let value = values
        .next()
        .map(|value| value.to_str().map_err(|_| invalid()));
    if values.next().is_some() {
        return Err(invalid());
    }
    value.transpose().map(|value| value.map(str::trim))
}

/// As an answer has it in `ETag`.
fn version(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

fn invalid() -> Fault {
    Fault::new(
        StatusCode::BAD_REQUEST,
        "a condition is If-Match with one ETag as it was answered, If-Match: *, or If-None-Match: *",
    )
}
