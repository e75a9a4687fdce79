use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Extension,
    extract::{
        Query, State, WebSocketUpgrade, rejection::QueryRejection,
        ws::rejection::WebSocketUpgradeRejection,
    },
    http::HeaderMap,
    response::Response,
};
use pm_core::{ClientIp, Context};
use pm_ratelimit::{Limiter, in_flight::Permit};
use serde::Deserialize;

use crate::{
    app::App,
    auth::{self, AuthError, Verified},
    problem,
    tenant::RegistryError,
    ws::{
        Gate, Origin, Rejection, SocketSettings, origin,
        socket::{self, Admit, Admitted, Sockets, Visit},
    },
};

/// What the handler of upgrades works with.
#[derive(Clone, Debug)]
pub(crate) struct Upgrades {
    app: App,
    settings: Arc<SocketSettings>,
    allowed_origins: Arc<[Origin]>,
    limiter: Limiter,
    /// Of the connections so far.
    number: Arc<AtomicU64>,
}

impl Upgrades {
    /// `limiter` decides on the frames.
    pub(crate) fn new(
        app: &App,
        settings: SocketSettings,
        allowed_origins: &[Origin],
        limiter: Limiter,
    ) -> Self {
        Self {
            app: app.clone(),
            settings: Arc::new(settings),
            allowed_origins: allowed_origins.into(),
            limiter,
            number: Arc::default(),
        }
    }

    /// For one socket.
    fn sockets(&self) -> Sockets {
        Sockets {
            settings: self.settings.clone(),
            door: Arc::new(Door(self.app.clone())),
            guard: self.app.guard.clone(),
            clock: self.app.clock.clone(),
            drain: self.app.drain.clone(),
        }
    }

    fn gate(&self, client: ClientIp) -> Gate {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        Gate::new(self.limiter.clone(), client, number)
    }
}

#[derive(Deserialize)]
pub(super) struct Parameters {
    /// The tenant that the client means. It says so in its hello, too; here it learns at once that
    /// its token is another one's.
    tenant: Option<String>,
}

/// What the layers have left in the request.
type Layered = (
    Extension<Context>,
    Extension<ClientIp>,
    Extension<Permit>,
    Option<Extension<Verified>>,
);

/// `GET /ws`: from here on it is a socket.
///
/// A token in the request is checked now, by the layer that authenticates. Without one the socket
/// opens nameless, and has to bring one in its hello. The permit for one more socket was had from the
/// layer around this; the socket keeps it.
pub(super) async fn upgrade(
    State(upgrades): State<Upgrades>,
    (Extension(context), Extension(client), Extension(permit), verified): Layered,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    request: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    // Before anything is looked at that belongs to a tenant.
    if !origin::allowed(&headers, &upgrades.allowed_origins) {
        return problem::foreign_origin().into_response();
    }
    let Ok(Query(Parameters { tenant })) = parameters else {
        return problem::bad_query().into_response();
    };
    let checked = match (&verified, &tenant) {
        (None, _) => Ok(()),
        (Some(verified), None) => verified.tenant().map(drop),
        (Some(verified), Some(tenant)) => verified.check_tenant(tenant),
    };
    if let Err(error) = checked {
        return problem::forbidden(error.to_string()).into_response();
    }
    let request = match request {
        Ok(request) => request,
        Err(rejection) => return problem::not_an_upgrade(&rejection).into_response(),
    };
    let visit = Visit {
        client,
        id: context.request_id().to_string(),
        token: auth::bearer(&headers).ok().flatten().map(str::to_owned),
        gate: Some(upgrades.gate(client)),
        permit: Some(permit),
    };
    socket::upgrade(request, upgrades.sockets(), visit)
}

/// Lets in whoever has a token, to the tenant that it is for.
#[derive(Clone, Debug)]
struct Door(App);

#[async_trait]
impl Admit for Door {
    async fn admit(&self, token: &str, tenant: &str) -> Result<Admitted, Rejection> {
        let Self(app) = self;
        let now_us = app.clock.wall_micros();
        let verified = app
            .keys
            .verify(token, now_us)
            .map_err(|error| Rejection::Token(error.to_string()))?;
        let rights = |error: AuthError| Rejection::Rights(error.to_string());
        let name = verified.tenant().map_err(rights)?;
        if !tenant.is_empty() {
            verified.check_tenant(tenant).map_err(rights)?;
        }
        let left_us = verified.expires_at_us.saturating_sub(now_us);
        let left = Duration::from_micros(left_us.unsigned_abs());
        let expires = app.clock.now() + left;
        let tenant = app.tenant(name).await;
        Ok(Admitted {
            tenant: tenant.map_err(|error| rejection(&error))?,
            identity: verified.identity,
            expires,
        })
    }
}

fn rejection(error: &RegistryError) -> Rejection {
    match error {
        RegistryError::Unknown(_) => Rejection::UnknownTenant(error.to_string()),
        _ => Rejection::Unavailable(error.to_string(), error.retry_after().unwrap_or_default()),
    }
}
