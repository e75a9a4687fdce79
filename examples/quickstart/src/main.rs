//! A small axum service, protected by the pm crates: what a new service starts from.
//!
//! Run with `cargo run -p quickstart`; the README has the `curl` lines that prove it works.

mod service;

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use pm_core::PeerAddr;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 8080)).await?;
    writeln!(
        std::io::stdout(),
        "listening on http://{}",
        listener.local_addr()?
    )?;
    // Whoever accepts the connection says whose it is.
    let app = service::app()?.layer(from_fn(peer));
    axum::serve(
        listener,
        app.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
    .await?;
    Ok(())
}

async fn peer(
    ConnectInfo(addr): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(PeerAddr(addr));
    next.run(request).await
}
