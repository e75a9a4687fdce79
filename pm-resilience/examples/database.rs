//! A database guarded by a policy: what a caller sees while it works, while it does not, and when
//! somebody forces the breaker.
//!
//! Run with `cargo run -p pm-resilience --example database`

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pm_core::stale::{Aged, Stale, StaleSource};
use pm_resilience::{BreakerSettings, Error, Outcome, Policy, RetrySettings, Timeouts, classify};

/// What stands for a database here.
struct Users {
    down: AtomicBool,
}

#[derive(Debug, thiserror::Error)]
enum DatabaseError {
    #[error("there is no such user")]
    NoSuchUser,
    #[error("the connection was lost")]
    Lost,
}

impl Users {
    async fn name(&self, id: u64) -> Result<String, DatabaseError> {
        // The round trip.
        tokio::task::yield_now().await;
        match (self.down.load(Ordering::Relaxed), id) {
            (true, _) => Err(DatabaseError::Lost),
            (false, 7) => Ok("ada".to_owned()),
            (false, _) => Err(DatabaseError::NoSuchUser),
        }
    }
}

/// What a cache would still know.
struct Cache;

impl StaleSource<u64, String> for Cache {
    fn stale<'a>(&'a self, id: &'a u64, max_age: Duration) -> Stale<'a, String> {
        let aged = Aged::new("ada".to_owned(), Duration::from_secs(40));
        let known = *id == 7 && aged.age <= max_age;
        Box::pin(std::future::ready(known.then_some(aged)))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ms = Duration::from_millis;
    // That somebody is not there is an answer of a database that works.
    let classify = classify::errors(|error: &DatabaseError| match error {
        DatabaseError::NoSuchUser => Outcome::Success,
        DatabaseError::Lost => Outcome::retryable(),
    });
    let db = Policy::named("postgres")
        .timeouts(Timeouts::new().with_read(ms(800)).with_write(ms(2_000)))
        .breaker(BreakerSettings::new().with_consecutive_failures(5))
        .retry(RetrySettings::exponential(ms(5), ms(50)).with_attempts(3))
        .slow_log(ms(100))
        .classify(classify)
        .build()?;

    let users = Users {
        down: AtomicBool::new(false),
    };
    let mut out = std::io::stdout().lock();

    let name = db.read("user.get", || users.name(7)).await?;
    writeln!(out, "while it works:     {name}")?;
    let nobody = db.read("user.get", || users.name(8)).await;
    writeln!(out, "nobody:             {}", said(nobody))?;

    users.down.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let failed = db.read("user.get", || users.name(7)).await;
        let state = db.breaker().state();
        writeln!(
            out,
            "while it does not:  {} (breaker {state})",
            said(failed)
        )?;
    }

    let minute = Duration::from_secs(60);
    let read = db.read("user.get", || users.name(7));
    let served = read.or_stale(&Cache, &7, minute).await?;
    let age = served.age().unwrap_or_default();
    writeln!(out, "{age:?} old:            {}", served.into_value())?;

    users.down.store(false, Ordering::Relaxed);
    db.breaker().force_close("it was the network");
    let name = db.read("user.get", || users.name(7)).await?;
    writeln!(out, "forced closed:      {name}")?;
    Ok(())
}

fn said(result: Result<String, Error<DatabaseError>>) -> String {
    match result {
        Ok(name) => name,
        Err(Error::Rejected(rejection)) => format!("not called, {rejection}"),
        Err(error) => error.to_string(),
    }
}
