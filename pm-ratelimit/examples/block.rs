//! Keeps out whoever is refused too often: on every request, and on what lasts, such as a socket.
//!
//! Run with `cargo run -p pm-ratelimit --example block`

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::net::IpAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use pm_core::{ClientIpLayer, PeerAddr, TrustedProxies};
use pm_ratelimit::block::{AutoBlock, BlockLayer, BlockList, Order};
use pm_ratelimit::{Alert, Limiter, Quota, Rule, Rules, Stage, Violations};
use tower::{ServiceBuilder, ServiceExt};

async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("hello".into()))
}

/// What would wake somebody, or write a ticket.
fn alert(alert: &Alert) {
    let line = format!("alert: {} is refused too often\n", alert.prefix);
    std::io::stderr().write_all(line.as_bytes()).ok();
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let blocks = BlockList::builder()
        .allow(["10.0.0.0/8".parse()?])
        .automatic(AutoBlock::new())
        .build();
    let violations = Violations::builder().on_alert(alert).build();
    tokio::spawn(blocks.clone().run());
    tokio::spawn(violations.clone().run());

    let limiter =
        Limiter::builder(Rules::new().rule("all", Rule::always().quota(Quota::per_minute(5))))
            .observer(violations.clone())
            .observer(blocks.clone())
            .build()?;
    let service = ServiceBuilder::new()
        .layer(ClientIpLayer::new(TrustedProxies::none()))
        .layer(BlockLayer::new(blocks.clone()))
        .layer(limiter.layer(Stage::Identified))
        .service_fn(hello);

    let client: IpAddr = [192, 0, 2, 1].into();
    let socket = tokio::spawn({
        let blocks = blocks.clone();
        async move { blocks.blocked(client).await.prefix() }
    });
    let mut last = None;
    for number in 1..=60 {
        let request = Request::get("/")
            .extension(PeerAddr((client, 50_000).into()))
            .body(())?;
        let status = service.clone().oneshot(request).await?.status();
        if last.replace(status) != Some(status) {
            writeln!(out, "from request {number} on: {status}")?;
        }
    }
    writeln!(out, "the socket of {} is closed", socket.await?)?;
    for offender in violations.top_offenders(3) {
        writeln!(out, "{}: {} refusals", offender.prefix, offender.count)?;
    }

    blocks.unblock("192.0.2.1/32".parse()?, "ada").await?;
    blocks
        .block(
            Order::on("198.51.100.0/24".parse()?)
                .because("scraping")
                .by("ada"),
        )
        .await?;
    for listed in blocks.list(None, 10) {
        let entry = listed.entry;
        writeln!(
            out,
            "{} {} by {}: {}",
            entry.effect.as_str(),
            entry.prefix,
            entry.actor,
            entry.reason
        )?;
    }
    Ok(())
}
