//! Three requests a minute for each client, and what the fourth is told.
//!
//! Run with `cargo run -p pm-ratelimit --example per_client`

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use pm_core::{ClientIpLayer, PeerAddr, TrustedProxies};
use pm_ratelimit::{Quota, RateLimitLayer};
use tower::{ServiceBuilder, ServiceExt};

async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("hello\n".into()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = ServiceBuilder::new()
        .layer(ClientIpLayer::new(TrustedProxies::none()))
        .layer(RateLimitLayer::per_client(Quota::per_minute(3)))
        .service_fn(hello);

    let mut out = std::io::stdout().lock();
    for number in 1..=4 {
        // Whoever accepts the connection says whose it is.
        let request = Request::get("/")
            .extension(PeerAddr("192.0.2.1:50000".parse()?))
            .body(())?;
        let response = service.clone().oneshot(request).await?;
        writeln!(out, "request {number}: {}", response.status())?;
        for (name, value) in response.headers() {
            writeln!(out, "  {name}: {}", value.to_str()?)?;
        }
        let body = response.into_body().collect().await?.to_bytes();
        writeln!(out, "  {}", String::from_utf8_lossy(&body).trim_end())?;
    }
    Ok(())
}
