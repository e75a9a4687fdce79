//! A server that goes down in order: `cargo run -p pm-resilience --example graceful_shutdown --features signals`,
//! then Ctrl-C, or `kill`, while `curl localhost:3000/slow` waits for its answer.

use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pm_core::Clock;
use pm_resilience::shutdown::{Drain, Kind, Phase, Shutdown, ShutdownSettings, Signals};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = ShutdownSettings::new().with_delay(Duration::from_secs(2));
    let mut shutdown = Shutdown::new(settings)?;
    shutdown.hook("database", Duration::from_secs(2), async {
        // pool.close().await
    })?;
    let drain = shutdown.drain();

    let router = Router::new()
        .route("/health/ready", get(ready))
        .route("/slow", get(slow))
        // Requests count in the summary.
        .layer(drain.layer())
        .with_state(drain.clone());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    tokio::spawn(drain.track(Kind::Task, accept(listener, router, drain.clone())));
    // What was tracked and is still there at the end was dropped: handlers, too.
    let _ = shutdown.run(Signals::listen()?).await;
    Ok(())
}

/// Accepts until the draining begins. Each connection is tracked, so that it is waited for, and
/// dropped with its handler when there is no more time. `axum::serve` gives its connections to tasks
/// that nobody can drop.
async fn accept(listener: TcpListener, router: Router, drain: Drain) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.reached(Phase::Draining) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(stream, router.clone(), drain.clone());
                tokio::spawn(drain.track(Kind::Connection, connection));
            }
            // Such as too many open files: that passes.
            Err(_) => {
                let clock = Clock::system();
                clock
                    .sleep_until(clock.now() + Duration::from_secs(1))
                    .await;
            }
        }
    }
}

/// Serves a connection; from the draining on, until its request is answered.
async fn serve(stream: TcpStream, router: Router, drain: Drain) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // Errors are those of clients that are gone.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = drain.reached(Phase::Draining) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// No longer ready from the moment of the signal.
async fn ready(State(drain): State<Drain>) -> StatusCode {
    if drain.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// It finishes after the signal.
async fn slow() -> &'static str {
    let clock = Clock::system();
    clock
        .sleep_until(clock.now() + Duration::from_secs(10))
        .await;
    "at last\n"
}
