use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use pm_core::{Clock, Identity, ManualTime};
use pm_ratelimit::admin::Admin;
use pm_ratelimit::block::BlockList;
use pm_ratelimit::emergency::{Emergency, Profile};
use pm_ratelimit::{By, Limiter, Quota, Rule, RuleBook, Rules, Violations, guard};
use serde_json::Value;
use tower::ServiceExt;

/// All there is to administer, in memory, by a clock that stands still.
pub(crate) struct Fixture {
    pub(crate) admin: Admin,
    pub(crate) limiter: Limiter,
    pub(crate) book: RuleBook,
    pub(crate) blocks: BlockList,
    pub(crate) violations: Violations,
    pub(crate) emergency: Emergency,
    pub(crate) time: ManualTime,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) json: Value,
}

/// The rules of the configuration.
pub(crate) fn configured() -> Rules {
    let user = Rule::always().by(By::User).quota(Quota::per_minute(10));
    let login = Rule::on("POST /login")
        .by(By::Client)
        .quota(Quota::per_minute(5));
    Rules::new().rule("user", user).rule("login", login)
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let (clock, time) = Clock::manual();
        let store = Arc::new(guard::MemoryStore::new());
        let violations = Violations::builder().clock(clock.clone()).build();
        let blocks = BlockList::builder().clock(clock.clone()).build();
        let emergency = Emergency::builder()
            .profile("storm", Profile::scale(1, 5))
            .clock(clock.clone())
            .build()
            .expect("valid");
        let limiter = Limiter::builder(configured())
            .observer(violations.clone())
            .emergency(emergency.clone())
            .count_decisions()
            .clock(clock);
        let book = RuleBook::builder(limiter).store(store).build();
        let book = book.expect("valid rules");
        let limiter = book.limiter();
        let admin = Admin::new(limiter.clone())
            .with_rule_book(book.clone())
            .with_blocks(blocks.clone())
            .with_violations(violations.clone());
        Self {
            admin,
            limiter,
            book,
            blocks,
            violations,
            emergency,
            time,
        }
    }

    /// Asked by an administrator.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Answered {
        send(&self.admin, request(method, path, body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answered = self.ask("GET", path, "").await;
        assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
        answered.json
    }

    /// With a header.
    pub(crate) async fn ask_if(
        &self,
        method: &str,
        path: &str,
        body: &str,
        (name, value): (&'static str, &str),
    ) -> Answered {
        let mut request = request(method, path, body);
        let value = value.parse().expect("a header");
        request.headers_mut().insert(name, value);
        send(&self.admin, request).await
    }
}

/// By the administrator `root`.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let mut request = anonymous(method, path, body);
    let root = Identity::new("root").with_roles(["ADMIN"]);
    request.extensions_mut().insert(root);
    request
}

pub(crate) fn anonymous(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let method: Method = method.parse().expect("a method");
    let mut request = Request::builder().method(method).uri(path);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    request.body(body).expect("a request")
}

pub(crate) async fn send<B>(admin: &Admin, request: Request<B>) -> Answered
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
{
    let answer = admin.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.expect("infallible").to_bytes();
    assert_eq!(parts.headers["cache-control"], "no-store");
    let json = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let kind = parts.headers.get("content-type");
    let kind = kind.map(|kind| kind.to_str().expect("ASCII"));
    let wanted = match parts.status.as_u16() {
        204 => None,
        200 | 201 => Some("application/json"),
        status => {
            assert_eq!(json["status"], status, "RFC 9457");
            Some("application/problem+json")
        }
    };
    assert_eq!(kind, wanted);
    Answered {
        status: parts.status,
        headers: parts.headers,
        json,
    }
}

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
