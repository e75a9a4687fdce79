//! Limits the frames of WebSockets: per user, whatever connection they come in on, and sockets per
//! address.
//!
//! Run with `cargo run -p pm-ratelimit --example frames`

use std::error::Error;
use std::io::Write;
use std::net::IpAddr;

use pm_ratelimit::in_flight::Concurrency;
use pm_ratelimit::{By, Limiter, Op, PolicyName, Quota, Rule, Rules, Subject, Verdict};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let limiter = Limiter::builder(
        Rules::new()
            .rule(
                "frames",
                Rule::always()
                    .by(By::User)
                    .quota(Quota::per_second(20).burst(5)),
            )
            .rule(
                "import",
                Rule::on("plan.*").by(By::User).quota(Quota::per_hour(2)),
            )
            .rule(
                "socket",
                Rule::always()
                    .by(By::Connection)
                    .quota(Quota::per_second(10).burst(3)),
            ),
    )
    .build()?;
    let sockets = Concurrency::new(PolicyName::from_static("sockets"), By::Client, 2);
    let address = IpAddr::from([192, 0, 2, 1]);
    let mut out = std::io::stdout().lock();

    // A permit lives as long as its socket.
    let mut open = Vec::new();
    for number in 1..=3 {
        match sockets.try_acquire(&Subject::at(address)) {
            Ok(permit) => open.push((number, permit)),
            Err(full) => writeln!(out, "socket {number}: {full}")?,
        }
    }

    for (socket, frame) in [
        (1, "task.update"),
        (1, "task.update"),
        (1, "plan.import"),
        (1, "task.update"),
        (2, "plan.import"),
        (2, "plan.import"),
        (2, "task.update"),
        (2, "task.update"),
    ] {
        let subject = Subject::user("ada").client(address).connection(socket);
        match limiter.check(&subject, Op::new(frame)).await {
            Verdict::Allowed(allowed) => {
                writeln!(
                    out,
                    "socket {socket}: {frame}, {} left",
                    allowed.remaining()
                )?;
            }
            Verdict::Refused(refused) => {
                let wait = refused.retry_after();
                let policy = refused.policy().map_or("store", PolicyName::as_str);
                writeln!(
                    out,
                    "socket {socket}: {frame} refused by {policy:?}, wait {wait:.0?}"
                )?;
            }
            Verdict::Never(never) => writeln!(out, "at most {} at once", never.capacity())?,
        }
    }
    drop(open);
    writeln!(out, "{} addresses have sockets", sockets.subjects())?;
    Ok(())
}
