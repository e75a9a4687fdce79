use serde::{Deserialize, Serialize};

use super::Shared;
use super::answer::{Answer, Fault};
use super::bounds::{lasting, text};
use super::service::Asked;
use crate::Emergency;
use crate::emergency::Declared;

/// The longest that one may be declared for, in seconds: a week.
const LONGEST: u64 = 7 * 24 * 60 * 60;

/// What is to be declared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    profile: String,
    lasting_seconds: u64,
    #[serde(default)]
    because: String,
}

/// What is in force, and what could be.
#[derive(Serialize)]
struct Shown<'a> {
    in_force: Option<ShownDeclared>,
    profiles: Vec<&'a str>,
}

/// An emergency, as it is shown.
#[derive(Serialize)]
pub(super) struct ShownDeclared {
    profile: String,
    cause: &'static str,
    since_micros: i64,
    until_micros: i64,
    by: Box<str>,
    because: Box<str>,
}

impl From<Declared> for ShownDeclared {
    fn from(declared: Declared) -> Self {
        Self {
            profile: declared.profile.to_string(),
            cause: declared.cause.as_str(),
            since_micros: declared.since_micros,
            until_micros: declared.until_micros,
            by: declared.by,
            because: declared.because,
        }
    }
}

impl Shared {
    fn emergencies(&self) -> Result<&Emergency, Fault> {
        let emergency = self.limiter.emergency();
        emergency.ok_or_else(|| Fault::not_given("emergency", "LimiterBuilder::emergency"))
    }

    pub(super) fn emergency(&self) -> Result<Answer, Fault> {
        let emergency = self.emergencies()?;
        Answer::json(&Shown {
            in_force: emergency.state().map(ShownDeclared::from),
            profiles: emergency.profiles().collect(),
        })
    }

    pub(super) fn declare_emergency(
        &self,
        wanted: Wanted,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let emergency = self.emergencies()?;
        let lasting = lasting("lasting_seconds", wanted.lasting_seconds, LONGEST)?;
        let because = text("because", wanted.because)?;
        let declared = emergency.enter(&wanted.profile, lasting, asked.actor, because);
        let declared = declared.map_err(|_| {
            let profiles: Vec<&str> = emergency.profiles().collect();
            let detail = format!(
                "there is no such profile: there are {}",
                profiles.join(", ")
            );
            Fault::new(http::StatusCode::UNPROCESSABLE_ENTITY, detail)
        })?;
        Answer::json(&ShownDeclared::from(declared))
    }

    pub(super) fn leave_emergency(&self, asked: &Asked<'_>) -> Result<Answer, Fault> {
        let left = self.emergencies()?.leave(asked.actor);
        left.map(|_| Answer::done())
            .ok_or_else(|| Fault::not_found("no emergency is in force"))
    }
}
