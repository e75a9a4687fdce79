//! Answers that say what went wrong, in a form that programs understand: RFC 9457.
//!
//! ```
//! use bytes::Bytes;
//! use http::StatusCode;
//! use pm_core::Problem;
//!
//! let response = Problem::new(StatusCode::CONFLICT)
//!     .with_type("https://example.com/problems/version-mismatch", "Somebody else was faster")
//!     .with_detail("the item is at version 8, not 7")
//!     .with_member("current_version", 8)
//!     .into_response::<Bytes>();
//!
//! assert_eq!(response.headers()["content-type"], "application/problem+json");
//! assert_eq!(
//!     response.body(),
//!     r#"{"type":"https://example.com/problems/version-mismatch","title":"Somebody else was faster","status":409,"detail":"the item is at version 8, not 7","current_version":8}"#
//! );
//! ```

mod json;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::context::{Context, RequestId};

pub use self::json::Value;

/// `application/problem+json`
pub const APPLICATION_PROBLEM_JSON: HeaderValue =
    HeaderValue::from_static("application/problem+json");

/// The members that have methods of their own.
const RESERVED: [&str; 6] = [
    "type",
    "title",
    "status",
    "detail",
    "instance",
    "request_id",
];

/// A problem answer (RFC 9457): a status, a stable type, and what a person should read.
///
/// The body also has the member `request_id`: the one given, or else that of the
/// [current context](Context::current). Whatever is put into a problem is sent to the caller:
/// nothing secret, and no error of a backend, belongs there.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a problem does nothing until it is turned into a response"]
pub struct Problem {
    status: StatusCode,
    type_uri: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Option<Cow<'static, str>>,
    instance: Option<Cow<'static, str>>,
    request_id: Option<RequestId>,
    members: Vec<(&'static str, Value)>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem that its status describes: type `about:blank`, the title being the status's
    /// reason phrase (RFC 9457 §4.2.1).
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            type_uri: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Unknown Status")),
            detail: None,
            instance: None,
            request_id: None,
            members: Vec::new(),
            retry_after: None,
        }
    }

    /// The stable URI that names this kind of problem, and the kind's title, which does not change
    /// from one occurrence to the next.
    pub fn with_type(
        mut self,
        uri: impl Into<Cow<'static, str>>,
        title: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.type_uri = uri.into();
        self.title = title.into();
        self
    }

    /// What happened this time and what the caller can do about it.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The URI that names this occurrence.
    pub fn with_instance(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.instance = Some(uri.into());
        self
    }

    /// The id of the request, where it is not that of the current context.
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// An extension member (RFC 9457 §3.2), replacing an earlier one of the same name.
    ///
    /// # Panics
    ///
    /// If `name` is one of the members that have methods of their own.
    pub fn with_member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        assert!(
            !RESERVED.contains(&name),
            "the problem member {name:?} has a method of its own"
        );
        self.members.retain(|(known, _)| *known != name);
        self.members.push((name, value.into()));
        self
    }

    /// Adds the header `Retry-After`: the wait in whole seconds, rounded up, at least 1.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The status that the response has.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The URI that names this kind of problem.
    #[must_use]
    pub fn type_uri(&self) -> &str {
        &self.type_uri
    }

    /// What happened this time.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The response, for any body that can be made from bytes: `axum::body::Body`,
    /// `http_body_util::Full<Bytes>`, [`ResponseBody`](crate::ResponseBody) or [`Bytes`] itself.
    ///
    /// It has `Content-Type: application/problem+json` and `Cache-Control: no-store`.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = Response::new(B::from(Bytes::from(self.to_json())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, APPLICATION_PROBLEM_JSON);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_seconds(wait)));
        }
        response
    }

    fn to_json(&self) -> String {
        let current = || Context::current().map(|context| context.request_id().clone());
        let request_id = self.request_id.clone().or_else(current);

        let mut json = json::Object::new();
        json.string("type", &self.type_uri);
        json.string("title", &self.title);
        json.number("status", self.status.as_u16());
        if let Some(detail) = &self.detail {
            json.string("detail", detail);
        }
        if let Some(instance) = &self.instance {
            json.string("instance", instance);
        }
        if let Some(id) = &request_id {
            json.string("request_id", id.as_str());
        }
        for (name, value) in &self.members {
            json.value(name, value);
        }
        json.finish()
    }
}

/// The delay-seconds of `Retry-After` (RFC 9110 §10.2.3) for `wait`: rounded up, so that a caller
/// who obeys is not early, and at least 1, so that none retries at once.
#[must_use]
pub const fn retry_after_seconds(wait: Duration) -> u64 {
    let whole = wait.as_secs();
    let seconds = if wait.subsec_nanos() > 0 {
        whole.saturating_add(1)
    } else {
        whole
    };
    if seconds == 0 { 1 } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(problem: Problem) -> serde_json::Value {
        serde_json::from_slice(problem.into_response::<Bytes>().body()).expect("valid JSON")
    }

    #[test]
    fn a_status_alone_is_about_blank() {
        let response = Problem::new(StatusCode::NOT_FOUND).into_response::<Bytes>();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("retry-after"));
        assert_eq!(
            response.body(),
            r#"{"type":"about:blank","title":"Not Found","status":404}"#
        );
    }

    #[test]
    fn every_member_arrives_as_it_was_given() {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
            .with_type("https://example.com/p", "Bad \"plan\"")
            .with_detail("line 3:\n\u{1}\u{2028}ü😀\\")
            .with_instance("/plans/7")
            .with_request_id("id-1".parse().expect("valid"))
            .with_member("count", 1)
            .with_member("count", u64::MAX)
            .with_member("delta", i64::MIN)
            .with_member("fatal", false)
            .with_member("fields", vec!["a", "b\""])
            .with_member(
                "violations",
                vec![Value::object([("field", "title"), ("reason", "too long")])],
            );
        assert_eq!(
            body(problem),
            serde_json::json!({
                "type": "https://example.com/p",
                "title": "Bad \"plan\"",
                "status": 422,
                "detail": "line 3:\n\u{1}\u{2028}ü😀\\",
                "instance": "/plans/7",
                "request_id": "id-1",
                "count": u64::MAX,
                "delta": i64::MIN,
                "fatal": false,
                "fields": ["a", "b\""],
                "violations": [{"field": "title", "reason": "too long"}],
            })
        );
    }

    #[test]
    fn the_request_id_is_that_of_the_current_context_unless_given() {
        let context = Context::new("current".parse().expect("valid"));
        let problem = Problem::new(StatusCode::BAD_REQUEST);
        let found = context.in_scope(|| body(problem.clone()));
        assert_eq!(found["request_id"], "current");
        let given = problem.with_request_id("given".parse().expect("valid"));
        assert_eq!(context.in_scope(|| body(given))["request_id"], "given");
    }

    #[test]
    fn retry_after_is_rounded_up_and_at_least_one() {
        for (wait, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(999), 1),
            (Duration::from_secs(1), 1),
            (Duration::new(1, 1), 2),
            (Duration::from_millis(1900), 2),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(retry_after_seconds(wait), seconds, "{wait:?}");
        }
        let response = Problem::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_retry_after(Duration::from_millis(1900))
            .into_response::<Bytes>();
        assert_eq!(response.headers()["retry-after"], "2");
    }

    #[test]
    #[should_panic(expected = "the problem member \"status\" has a method of its own")]
    fn a_standard_member_cannot_be_an_extension() {
        let _ = Problem::new(StatusCode::OK).with_member("status", 500);
    }
}
