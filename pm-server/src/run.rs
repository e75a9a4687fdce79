//! From a listener to a server, and down again.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::Request};
use futures_util::{FutureExt, Stream};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use pm_core::{Clock, PeerAddr};
use pm_resilience::shutdown::{Drain, Kind, Phase, Shutdown, Signal, Summary};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use crate::{
    app::App,
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

/// Serves until the first of `signals`, and then ends in order, with `shutdown`, which `app` was made
/// with: ready says no, the delay passes, the listener closes, clients are told to leave, their time
/// passes, the tenants are closed. The second signal ends it at once.
///
/// **Spawns a task** per connection, and axum one per socket. None of them outlives the aborting
/// phase, unless it was ended at once: then they end with the runtime.
pub async fn run(
    listener: TcpListener,
    app: App,
    settings: StackSettings,
    shutdown: Shutdown,
    signals: impl Stream<Item = Signal>,
) -> Summary {
    let router = stack::build(&app, settings);
    let serving = async {
        tokio::select! {
            biased;
            () = app.drain.reached(Phase::Draining) => {}
            never = accept(&listener, &router, &app) => match never {},
            never = app.health.run() => match never {},
            never = keep_house(&app) => match never {},
        }
        drop(listener);
        tracing::info!("clients are asked to leave");
        std::future::pending().await
    };
    tokio::select! {
        biased;
        summary = shutdown.run(signals) => summary,
        never = serving => match never {},
        // To the end: who is kept out while clients are waited for is kept out.
        never = app.guard.run() => match never {},
    }
}

async fn accept(listener: &TcpListener, router: &Router, app: &App) -> Infallible {
    loop {
        let (stream, peer) = accepted(listener, &app.clock).await;
        let served = serve(stream, peer, router.clone(), app.drain.clone());
        tokio::spawn(app.drain.track(Kind::Connection, served));
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
    let counted = drain.clone();
    let service = router
        .map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            request.map(Body::new)
        })
        .map_future(move |answer| {
            let request = counted.hold(Kind::Request);
            answer.inspect(move |_| drop(request))
        });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = drain.reached(Phase::Draining) => {
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
