//! A layer around an HTTP client: deadlines that travel, retries within a budget, a breaker.
//!
//! Run with `cargo run -p pm-resilience --example outgoing`

use std::convert::Infallible;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use pm_core::Clock;
use pm_resilience::classify::Http;
use pm_resilience::deadline::X_TIMEOUT_MS;
use pm_resilience::retry::ReplayBody;
use pm_resilience::{BreakerSettings, Budget, Deadline, Policy, RetrySettings, Timeouts};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ms = Duration::from_millis;
    let orders = Policy::named("orders")
        .timeouts(Timeouts::new().with_read(ms(300)).with_write(ms(1_000)))
        .breaker(BreakerSettings::new())
        .retry(RetrySettings::exponential(ms(10), ms(100)))
        .budget(Budget::percent(20).with_floor_per_second(10))
        .classify(Http::new())
        .build()?;

    // Stands for a client; it is busy every second time.
    let calls = Arc::new(AtomicU32::new(0));
    let client = service_fn({
        let calls = Arc::clone(&calls);
        move |request: Request<ReplayBody<Full<Bytes>>>| {
            let busy = calls.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            let told = request.headers().get(X_TIMEOUT_MS).cloned();
            async move {
                let mut response = Response::new(told);
                if busy {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                Ok::<_, Infallible>(response)
            }
        }
    });
    let client = ServiceBuilder::new().layer(orders.layer()).service(client);

    let mut out = std::io::stdout().lock();
    let get = || Request::get("/orders/7").body(Full::<Bytes>::default());
    let response = client.clone().oneshot(get()?).await?;
    writeln!(
        out,
        "GET:  {} after {} calls",
        response.status(),
        calls.load(Ordering::Relaxed)
    )?;

    let post = Request::post("/orders").body(Full::from("one more"))?;
    let response = client.clone().oneshot(post).await?;
    writeln!(out, "POST: {}, and is not repeated", response.status())?;

    // Whoever asked us waits for 200 ms; so the other side is told to be done by then.
    let deadline = Deadline::after(ms(200), &Clock::system());
    let response = deadline.scope(client.oneshot(get()?)).await?;
    writeln!(out, "told: {:?} ms", response.body())?;
    Ok(())
}
