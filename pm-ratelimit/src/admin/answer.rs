use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pm_core::{Problem, ResponseBody};
use serde::Serialize;

use crate::rule_book::EditError;
use crate::{Error, InvalidRules};

/// The body of an answer: it is there whole.
pub(super) type Body = ResponseBody<String>;

/// What went well.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    version: Option<u64>,
    json: Option<Vec<u8>>,
}

/// What did not: a problem, with a header that belongs to its status.
#[derive(Debug)]
pub(super) struct Fault {
    problem: Box<Problem>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn json(value: &impl Serialize) -> Result<Self, Fault> {
        let json = serde_json::to_vec(value);
        let json = json.map_err(|error| {
            tracing::error!(%error, "an answer cannot be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
        })?;
        Ok(Self {
            status: StatusCode::OK,
            version: None,
            json: Some(json),
        })
    }

    pub(super) fn document(json: &'static str) -> Self {
        Self {
            status: StatusCode::OK,
            version: None,
            json: Some(json.into()),
        }
    }

    /// There is nothing more to say.
    pub(super) const fn done() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            version: None,
            json: None,
        }
    }

    pub(super) const fn created(mut self, is_new: bool) -> Self {
        if is_new {
            self.status = StatusCode::CREATED;
        }
        self
    }

    /// What the client may say that it has seen.
    pub(super) const fn with_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let has_json = self.json.is_some();
        let mut response = Response::new(Body::early(self.json.unwrap_or_default()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if has_json {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(version) = self.version {
            headers.insert(ETAG, etag(version));
        }
        response
    }
}

/// Digits in quotes are a header.
fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

impl Fault {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Problem::new(status).with_detail(detail.into()).into()
    }

    /// What was asked for is not there, and why.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// This deployment does not have it.
    pub(super) fn not_given(what: &str, by: &str) -> Self {
        Self::not_found(format!("there is no {what} here: it is added by {by}"))
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }

    /// With the id of the request, where it is not that of the current context.
    pub(super) fn into_response(self, id: Option<pm_core::RequestId>) -> Response<Body> {
        let problem = match id {
            Some(id) => self.problem.with_request_id(id),
            None => *self.problem,
        };
        let mut response = problem.into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            header: None,
        }
    }
}

/// A store that failed. What it said is for the log.
impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        tracing::warn!(error = ?error, "a store did not answer an administrator");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_detail("the store did not answer; it may have been told nevertheless: try again")
            .with_retry_after(std::time::Duration::from_secs(1))
            .into()
    }
}

impl From<InvalidRules> for Fault {
    fn from(invalid: InvalidRules) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
            .with_detail(invalid.to_string())
            .with_member("rule", invalid.rule().to_owned())
            .with_member("field", invalid.field())
            .into()
    }
}

impl From<EditError> for Fault {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Conflict { version, .. } => Problem::new(StatusCode::PRECONDITION_FAILED)
                .with_detail(error.to_string())
                .with_member("version", version)
                .into(),
            EditError::Contended => Problem::new(StatusCode::SERVICE_UNAVAILABLE)
                .with_detail(error.to_string())
                .with_retry_after(std::time::Duration::from_secs(1))
                .into(),
            EditError::Invalid(invalid) => invalid.into(),
            EditError::Store(error) => error.into(),
        }
    }
}
