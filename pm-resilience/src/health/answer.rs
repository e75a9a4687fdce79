use std::fmt::Write;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use super::{Dependency, Status, Weight};

const APPLICATION_HEALTH_JSON: HeaderValue = HeaderValue::from_static("application/health+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Probe {
    /// Does the process run?
    Live,
    /// Does it take requests?
    Ready,
    /// Has it started?
    Startup,
}

/// What is known at a moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) dependencies: Vec<Dependency>,
    /// Whether every critical dependency was up once.
    pub(super) started: bool,
    /// Whether it was asked to stop.
    pub(super) stopping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Warn,
    Fail,
}

impl Snapshot {
    pub(super) fn is_ready(&self) -> bool {
        self.ready() != Verdict::Fail
    }

    /// Whole, and made without waiting for anything.
    pub(super) fn answer(&self, probe: Probe) -> Response<String> {
        let verdict = match probe {
            Probe::Live => Verdict::Pass,
            Probe::Ready => self.ready(),
            Probe::Startup if self.started => Verdict::Pass,
            Probe::Startup => Verdict::Fail,
        };
        let mut json = format!("{{\"status\":\"{}\"", verdict.as_str());
        if self.stopping {
            json.push_str(",\"output\":\"stopping\"");
        }
        if probe != Probe::Live {
            self.write_checks(&mut json).expect(INFALLIBLE);
        }
        json.push('}');

        let mut response = Response::new(json);
        if verdict == Verdict::Fail {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, APPLICATION_HEALTH_JSON);
        headers.insert(CACHE_CONTROL, NO_STORE);
        response
    }

    fn ready(&self) -> Verdict {
        let verdicts = self.dependencies.iter().map(verdict);
        match verdicts.max_by_key(|verdict| *verdict as u8) {
            _ if self.stopping => Verdict::Fail,
            Some(worst) => worst,
            None => Verdict::Pass,
        }
    }

    /// Names are of an alphabet that needs no escaping, as everything else here is.
    fn write_checks(&self, json: &mut String) -> std::fmt::Result {
        json.push_str(",\"checks\":{");
        for (at, dependency) in self.dependencies.iter().enumerate() {
            let Dependency {
                name,
                weight,
                status,
                latency,
                age,
            } = dependency;
            let comma = if at > 0 { "," } else { "" };
            let critical = *weight == Weight::Critical;
            write!(
                json,
                "{comma}\"{name}:responseTime\":[{{\"status\":\"{}\",\"state\":\"{}\",\"critical\":{critical}",
                verdict(dependency).as_str(),
                status.as_str()
            )?;
            if let Some(latency) = latency {
                let millis = latency.as_secs_f64() * 1e3;
                write!(
                    json,
                    ",\"observedValue\":{millis:.3},\"observedUnit\":\"ms\""
                )?;
            }
            if let Some(age) = age {
                write!(json, ",\"ageSeconds\":{:.3}", age.as_secs_f64())?;
            }
            json.push_str("}]");
        }
        json.push('}');
        Ok(())
    }
}

const INFALLIBLE: &str = "writing to a String cannot fail";

/// What a dependency means for being ready.
const fn verdict(dependency: &Dependency) -> Verdict {
    match (dependency.status, dependency.weight) {
        (Status::Up, _) => Verdict::Pass,
        (_, Weight::Degraded) => Verdict::Warn,
        (_, Weight::Critical) => Verdict::Fail,
    }
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}
