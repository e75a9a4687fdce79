//! Five requests a minute for each user, counted in a Redis that all processes share.
//!
//! Needs a Redis or Valkey (6.2 or later) at the address that is given, or on this machine. Run it
//! twice within a minute: the second process goes on where the first one stopped.
//!
//! Run with `cargo run -p pm-ratelimit --example per_user_redis --features redis`

use std::error::Error;
use std::io::Write;

use pm_core::redis::{Endpoint, Options, Redis};
use pm_ratelimit::{By, DigestKey, Limiter, Quota, RedisStore, Rule, Rules, Subject, Verdict};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("redis://127.0.0.1/");
    let redis = Redis::connect(Endpoint::single(address)?, Options::new()).await?;
    let rule = Rule::always().by(By::User).quota(Quota::per_minute(5));
    let limiter = Limiter::builder(Rules::new().rule("user", rule))
        .store(RedisStore::new(redis))
        // The same in all processes, or they do not share their buckets. A real one is random, and
        // kept like a password.
        .digest_key(DigestKey::new(*b"only an example!"))
        .build()?;

    let mut out = std::io::stdout().lock();
    for number in 1..=6 {
        match limiter.check(&Subject::user("ada"), 1).await {
            Verdict::Allowed(allowed) => {
                writeln!(out, "request {number}: {} left", allowed.remaining())?;
            }
            Verdict::Refused(refused) => {
                writeln!(out, "request {number}: wait {:?}", refused.retry_after())?;
            }
            Verdict::Never(_) => writeln!(out, "request {number}: never")?,
        }
    }
    Ok(())
}
