//! From a listener to a server, and down again.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use pm_core::{Clock, PeerAddr};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::ServiceExt;

use crate::{
    app::App,
    drain::Drain,
    stack::{self, StackSettings},
};

/// How long a client may take for the head of a request, and how long a connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// Most bytes of the head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// How often tenants without users are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(30);

/// How long accepting pauses after the machine ran out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What a running server is told.
#[derive(Clone, Debug)]
pub struct RunSettings {
    /// For the layers.
    pub stack: StackSettings,
    /// How long it goes on serving, not ready any more, once it is asked to stop: until load
    /// balancers have noticed.
    pub drain_delay: Duration,
    /// How long clients then have to finish and leave.
    pub drain_timeout: Duration,
    /// Within which time those who left should come back, each at a moment of its own.
    pub come_back_within: Duration,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// Everybody had left.
    Empty,
    /// Time was up, and whoever was left was cut off.
    Cut,
}

/// Serves until `shutdown` is done, and then ends in order: `ready` says no, the delay passes, the
/// listener closes, clients are told to leave, their time passes, the tenants are closed.
///
/// **Spawns a task** per connection; they end with it, except for sockets that were cut off, which
/// end with the runtime.
pub async fn run(
    listener: TcpListener,
    app: App,
    settings: RunSettings,
    shutdown: impl Future<Output = ()>,
) -> Ended {
    let App { clock, drain, .. } = &app;
    let router = stack::build(&app, settings.stack);
    let mut connections = JoinSet::new();
    {
        let asked = async {
            shutdown.await;
            tracing::info!("asked to stop: not ready any more");
            drain.stop_being_ready();
            clock.sleep_until(clock.now() + settings.drain_delay).await;
        };
        tokio::select! {
            biased;
            () = asked => {}
            never = accept(&listener, &router, &app, &mut connections) => match never {},
            never = keep_house(&app) => match never {},
        }
    }
    drop(listener);
    tracing::info!("clients are asked to leave");
    drain.leave(settings.come_back_within);
    let left = async {
        while connections.join_next().await.is_some() {}
        drain.gone().await;
    };
    let ended = match clock.within(settings.drain_timeout, left).await {
        Ok(()) => Ended::Empty,
        Err(_) => Ended::Cut,
    };
    connections.shutdown().await;
    app.registry.close().await;
    ended
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    app: &App,
    connections: &mut JoinSet<()>,
) -> Infallible {
    loop {
        tokio::select! {
            accepted = accepted(listener, &app.clock) => {
                let (stream, peer) = accepted;
                connections.spawn(serve(stream, peer, router.clone(), app.drain.clone()));
            }
            // What has ended is forgotten.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The next connection. Errors of one connection are its own; if the machine has no more files or
/// memory, it is asked again in a while.
async fn accepted(listener: &TcpListener, clock: &Clock) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                clock.sleep_until(clock.now() + ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Serves one connection until it ends, or becomes a socket.
async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, drain: Drain) {
    // Answers are small and waited for; an error here means that the other side is gone already.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(PeerAddr(peer));
        request.map(Body::new)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut leaving = drain.follow();
    let asked = async { leaving.wait_for(Option::is_some).await.is_ok() };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = asked => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}

async fn keep_house(app: &App) -> Infallible {
    loop {
        let App { clock, .. } = app;
        clock.sleep_until(clock.now() + HOUSEKEEPING).await;
        app.registry.close_idle(clock.now()).await;
    }
}
