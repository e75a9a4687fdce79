//! What is refused first when there is more to do than can be done.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use axum::body::Body;
use http::{Request, StatusCode};
use pm_resilience::{Limit, LimitSettings, Priority, Shed, ShedSettings, limit};
use pm_server::{auth::Role, stack::StackSettings};
use support::service::{Answered, Service, id, settings};

/// A server that does ten things at a time, of which so many are under way.
struct Busy {
    service: Service,
    shed: Shed,
    _under_way: Vec<limit::Permit>,
}

impl Busy {
    async fn with(under_way: usize) -> Self {
        let ten = LimitSettings::new()
            .with_initial(10)
            .with_min(10)
            .with_max(10);
        let limit = Limit::new("http", ten).unwrap();
        let shed = Shed::new(limit, ShedSettings::default()).unwrap();
        let take = || shed.try_acquire(Priority::Critical).unwrap();
        let under_way = std::iter::repeat_with(take).take(under_way).collect();
        let settings = StackSettings {
            shed: shed.clone(),
            ..settings()
        };
        Self {
            service: Service::with(settings).await,
            shed,
            _under_way: under_way,
        }
    }

    /// The whole of a project, an item, a socket: what is not shed is answered by who is behind.
    async fn answers(&self) -> [StatusCode; 3] {
        let viewer = self.service.bearer("acme", Role::Viewer);
        let project = format!("/api/v1/projects/{}/context", id(1));
        let item = format!("/api/v1/work-items/{}", id(1));
        [
            self.service.get(&project, Some(&viewer)).await.status,
            self.service.get(&item, Some(&viewer)).await.status,
            self.upgrade().await.status,
        ]
    }

    async fn upgrade(&self) -> Answered {
        let request = Request::get("/ws")
            .header("host", "pm.example")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        self.service
            .send(request.body(Body::empty()).unwrap())
            .await
    }
}

const SHED: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const NOT_THERE: StatusCode = StatusCode::NOT_FOUND;
/// There is no connection below it.
const LET_IN: StatusCode = StatusCode::UPGRADE_REQUIRED;

#[tokio::test]
async fn what_matters_less_is_refused_first() {
    for (under_way, answers) in [
        (0, [NOT_THERE, NOT_THERE, LET_IN]),
        (6, [SHED, NOT_THERE, LET_IN]),
        (8, [SHED, SHED, LET_IN]),
        (10, [SHED, SHED, SHED]),
    ] {
        let busy = Busy::with(under_way).await;
        assert_eq!(busy.answers().await, answers, "{under_way} under way");
        // What was answered is under way no more.
        assert_eq!(busy.shed.limit().in_flight(), under_way as u64);
    }
}

#[tokio::test]
async fn health_is_answered_however_much_there_is_to_do() {
    let busy = Busy::with(10).await;
    let health = busy.service.app.health().clone();
    let checks = tokio::spawn(async move { match health.run().await {} });
    busy.service.app.health().started().await;
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        assert_eq!(busy.service.get(path, None).await.status, StatusCode::OK);
    }
    checks.abort();
}

#[tokio::test]
async fn who_is_refused_is_told_when_to_come_back() {
    let busy = Busy::with(10).await;
    let answered = busy.upgrade().await;
    answered.is_problem(
        SHED,
        "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
    );
    assert_eq!(answered.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_bad_token_costs_nothing_when_there_is_too_much_to_do() {
    let busy = Busy::with(10).await;
    let path = format!("/api/v1/work-items/{}", id(1));
    let answered = busy.service.get(&path, Some("Bearer a.b.c")).await;
    assert_eq!(answered.status, SHED);
}
