//! A server that goes down in order: `cargo run -p pm-resilience --example graceful_shutdown --features signals`,
//! then Ctrl-C, or `kill`, while `curl localhost:3000/slow` waits for its answer.

use std::error::Error;
use std::future::IntoFuture;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Router, routing::get};
use pm_core::Clock;
use pm_resilience::shutdown::{Drain, Kind, Phase, Shutdown, ShutdownSettings, Signals};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = ShutdownSettings {
        delay: Duration::from_secs(2),
        ..ShutdownSettings::default()
    };
    let mut shutdown = Shutdown::new(settings)?;
    shutdown.hook("database", Duration::from_secs(2), async {
        // pool.close().await
    })?;
    let drain = shutdown.drain();

    let router = Router::new()
        .route("/health/ready", get(ready))
        .route("/slow", get(slow))
        .with_state(drain.clone());
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    // It accepts until the draining begins, then waits for its connections, and is dropped with them
    // when there is no more time.
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(drain.reached(Phase::Draining))
        .into_future();
    let server = tokio::spawn(drain.track(Kind::Task, serving));

    let summary = shutdown.run(Signals::listen()?).await;
    if summary.cut_in_all() == 0 {
        server.await???;
    }
    Ok(())
}

/// No longer ready from the moment of the signal.
async fn ready(State(drain): State<Drain>) -> StatusCode {
    if drain.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// It counts as a request in the summary, and finishes after the signal.
async fn slow(State(drain): State<Drain>) -> &'static str {
    let _request = drain.hold(Kind::Request);
    let clock = Clock::system();
    clock
        .sleep_until(clock.now() + Duration::from_secs(10))
        .await;
    "at last\n"
}
