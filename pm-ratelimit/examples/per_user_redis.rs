//! Five requests a minute for each user, counted in a Redis that all processes share, and in memory
//! while that is away.
//!
//! Needs a Redis or Valkey (6.2 or later) at the address that is given, or on this machine. Run it
//! twice within a minute: the second process goes on where the first one stopped. Stop Redis while it
//! runs, and start it again: no request waits or fails.
//!
//! Run with `cargo run -p pm-ratelimit --example per_user_redis --features redis`

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use pm_core::Clock;
use pm_core::redis::{Endpoint, Options, Redis};
use pm_ratelimit::{
    By, DigestKey, Fallback, Limiter, MemoryStore, Quota, RedisStore, Rule, Rules, Subject, Verdict,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("redis://127.0.0.1/");
    let redis = Redis::connect(Endpoint::single(address)?, Options::new()).await?;
    let rule = Rule::always().by(By::User).quota(Quota::per_minute(5));
    // As many replicas as there are processes: without Redis each gives out that part of the quota.
    let store = Fallback::new(RedisStore::new(redis), MemoryStore::bounded(100_000)).replicas(1);
    let limiter = Limiter::builder(Rules::new().rule("user", rule))
        .store(store)
        // The same in all processes, or they do not share their buckets. A real one is random, and
        // kept like a password.
        .digest_key(DigestKey::new(*b"only an example!"))
        .build()?;

    let clock = Clock::system();
    let mut out = std::io::stdout().lock();
    for number in 1..=30 {
        let (answer, degraded) = match limiter.check(&Subject::user("ada"), 1).await {
            Verdict::Allowed(allowed) => {
                (format!("{} left", allowed.remaining()), allowed.degraded())
            }
            Verdict::Refused(refused) => (
                format!("wait {:?}", refused.retry_after()),
                refused.degraded(),
            ),
            Verdict::Never(never) => (format!("at most {} at once", never.capacity()), false),
        };
        let by = if degraded { "from memory" } else { "by redis" };
        writeln!(out, "request {number}: {answer}, {by}")?;
        clock
            .sleep_until(clock.now() + Duration::from_secs(1))
            .await;
    }
    Ok(())
}
