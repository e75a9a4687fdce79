//! The whole service in this process, under a clock that stands still.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use pm_core::{Clock, PeerAddr, TrustedProxies, clock::ManualTime};
use pm_ratelimit::Quota;
use pm_resilience::shutdown::{Shutdown, ShutdownSettings};
use pm_server::{
    app::App,
    auth::{Claims, Keys, Role},
    domain::{Id, Mutation, Operation},
    guard::{Guard, GuardSettings},
    limits, overload,
    stack::{self, StackSettings},
    store::Answer,
    tenant::{MemoryStorage, Registry, RegistryLimits, Storage},
    ws::SocketSettings,
};
use serde_json::Value;
use tower::ServiceExt;

/// Generating a key is slow.
pub fn keys() -> Arc<Keys> {
    static KEYS: OnceLock<Arc<Keys>> = OnceLock::new();
    KEYS.get_or_init(|| Arc::new(Keys::generate().expect("a key")))
        .clone()
}

/// The limits that are built in, with these quotas.
pub fn quotas<'a>(others: impl IntoIterator<Item = (&'a str, Quota)>) -> GuardSettings {
    let mut rules = limits::built_in();
    for (name, quota) in others {
        rules = limits::with_quota(&rules, name, quota).expect("a limit of this name");
    }
    GuardSettings {
        rules,
        ..GuardSettings::default()
    }
}

/// More at once than a test asks for.
fn enough() -> GuardSettings {
    quotas([("client", Quota::per_minute(60).burst(1000))])
}

pub fn settings() -> StackSettings {
    StackSettings {
        shed: overload::shed(&Clock::manual().0),
        connections: NonZeroU32::MAX,
        trusted_proxies: TrustedProxies::none(),
        allowed_origins: Vec::new(),
        sockets: SocketSettings::default(),
    }
}

/// A server with the tenants `acme` and `beta`.
pub struct Service {
    pub app: App,
    /// Until it is run.
    pub shutdown: Option<Shutdown>,
    pub clock: Clock,
    pub time: ManualTime,
    /// As they are in this service.
    pub settings: StackSettings,
    pub router: Router,
}

/// What came back.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Service {
    pub async fn new() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: StackSettings) -> Self {
        Self::going_down(settings, ShutdownSettings::default()).await
    }

    /// With other quotas for limits that are built in.
    pub async fn limited<'a>(others: impl IntoIterator<Item = (&'a str, Quota)>) -> Self {
        Self::guarded(settings(), quotas(others)).await
    }

    pub async fn going_down(settings: StackSettings, shutdown: ShutdownSettings) -> Self {
        let (clock, time) = Clock::manual();
        let storage = Arc::new(MemoryStorage::new(clock.clone()));
        Self::on(storage, (clock, time), settings, shutdown).await
    }

    pub async fn on(
        storage: Arc<dyn Storage>,
        time: (Clock, ManualTime),
        settings: StackSettings,
        shutdown: ShutdownSettings,
    ) -> Self {
        Self::assemble(storage, time, settings, enough(), shutdown).await
    }

    pub async fn guarded(settings: StackSettings, guard: GuardSettings) -> Self {
        let (clock, time) = Clock::manual();
        let storage = Arc::new(MemoryStorage::new(clock.clone()));
        let shutdown = ShutdownSettings::default();
        Self::assemble(storage, (clock, time), settings, guard, shutdown).await
    }

    async fn assemble(
        storage: Arc<dyn Storage>,
        (clock, time): (Clock, ManualTime),
        settings: StackSettings,
        guard: GuardSettings,
        shutdown: ShutdownSettings,
    ) -> Self {
        for name in ["acme", "beta"] {
            let name = name.parse().expect("a valid name");
            storage.create(&name).await.expect("a tenant");
        }
        let limits = RegistryLimits::default();
        let registry = Registry::new(storage, clock.clone(), limits);
        let shutdown = Shutdown::new(shutdown).expect("they fit");
        let mut shutdown = shutdown.with_clock(clock.clone());
        let guard = Guard::in_memory(guard, clock.clone()).expect("valid rules");
        let app = App::new(registry, keys(), guard, clock.clone(), &mut shutdown);
        let app = app.expect("there is time to close");
        let router = stack::build(&app, settings.clone());
        Self {
            settings,
            app,
            shutdown: Some(shutdown),
            clock,
            time,
            router,
        }
    }

    /// `Authorization` for somebody with this role, for an hour.
    pub fn bearer(&self, tenant: &str, role: Role) -> String {
        self.bearer_of("ada", tenant, role)
    }

    pub fn bearer_of(&self, subject: &str, tenant: &str, role: Role) -> String {
        let lifetime = Duration::from_secs(3600);
        let claims = Claims::new(subject, tenant, role, self.clock.wall_micros(), lifetime);
        let token = keys().sign(&claims).expect("a token");
        format!("Bearer {}", token.expose())
    }

    /// `Authorization` for an operator, for an hour.
    pub fn operator(&self, subject: &str) -> String {
        let lifetime = Duration::from_secs(3600);
        let claims = Claims::operator(subject, self.clock.wall_micros(), lifetime);
        let token = keys().sign(&claims).expect("a token");
        format!("Bearer {}", token.expose())
    }

    /// Sends a request that comes from `192.0.2.1`.
    pub async fn send(&self, request: Request<Body>) -> Answered {
        self.send_from([192, 0, 2, 1].into(), request).await
    }

    pub async fn send_from(&self, peer: IpAddr, mut request: Request<Body>) -> Answered {
        let peer = PeerAddr(SocketAddr::new(peer, 40_000));
        request.extensions_mut().insert(peer);
        let response = self.router.clone().oneshot(request).await;
        let (head, body) = response.expect("infallible").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answered {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    /// `GET`, with a token or without.
    pub async fn get(&self, path: &str, bearer: Option<&str>) -> Answered {
        let mut request = Request::get(path);
        if let Some(bearer) = bearer {
            request = request.header("authorization", bearer);
        }
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }

    /// Applies an operation to a tenant, as `grace`.
    pub async fn apply(&self, tenant: &str, operation: Operation) -> Answer {
        let name = tenant.parse().expect("a valid name");
        let tenant = self.app.registry().get(&name).await.expect("the tenant");
        let mutation = Mutation {
            id: self.clock.uuid_v7().into(),
            digest: [0; 16],
            actor: "grace".into(),
            at_us: self.clock.wall_micros(),
            operation,
        };
        let pending = tenant.writer().submit(mutation).expect("room");
        pending.await.expect("an answer").expect("no refusal")
    }
}

impl Answered {
    /// Checks that it is a problem of this status and type that names its request.
    #[track_caller]
    pub fn is_problem(&self, status: StatusCode, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], status.as_u16());
        assert_eq!(self.body["type"], kind, "{self:?}");
        let id = self.headers["x-request-id"]
            .to_str()
            .expect("visible ASCII");
        assert_eq!(self.body["request_id"], id);
    }
}

pub fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 16])
}
