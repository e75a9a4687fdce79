//! Less for everybody while the load is high, except for those who run the place; and a gate that asks
//! for more meanwhile.
//!
//! Run with `cargo run -p pm-ratelimit --example emergency`

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pm_core::Clock;
use pm_ratelimit::emergency::{Automatic, Emergency, Hysteresis, Profile, Reduction};
use pm_ratelimit::{By, Limiter, Quota, Rule, Rules, Subject};

/// How many requests of a hundred are let in.
fn let_in(limiter: &Limiter, subject: &Subject<'_>) -> usize {
    let verdicts = (0..100).filter_map(|_| limiter.try_check(subject, 1));
    verdicts.filter(pm_ratelimit::Verdict::is_allowed).count()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let load = Arc::new(AtomicU32::new(0));
    // How many in a hundred have to prove that they are human.
    let challenged = Arc::new(AtomicU32::new(5));

    // Time is made here, so that this takes none; a service leaves both clocks out, and spawns
    // `emergency.clone().run()`, which looks four times a second.
    let (clock, time) = Clock::manual();
    let levels = Hysteresis {
        enter_above: 90.0,
        enter_after: Duration::from_secs(10),
        leave_below: 50.0,
        leave_after: Duration::from_secs(60),
    };
    let reading = Arc::clone(&load);
    let gate = Arc::clone(&challenged);
    let emergency = Emergency::builder()
        .profile(
            "storm",
            Profile::scale(1, 5)
                .rule("login", Reduction::Exempt)
                .exempt_role("admin"),
        )
        .automatic(Automatic::new("storm", levels, move || {
            f64::from(reading.load(Ordering::Relaxed))
        }))
        .on_change(move |declared| {
            let percent = if declared.is_some() { 100 } else { 5 };
            gate.store(percent, Ordering::Relaxed);
        })
        .clock(clock.clone())
        .build()?;
    let user = Rule::always().by(By::User).quota(Quota::per_minute(60));
    let limiter = Limiter::builder(Rules::new().rule("user", user))
        .emergency(emergency.clone())
        .clock(clock)
        .build()?;

    let (ada, bob) = (Subject::user("ada"), Subject::user("bob"));
    let admin = Subject::user("root").roles(&["admin"]);
    for (says, now, seconds) in [("calm", 10, 5), ("high", 95, 11), ("calm again", 10, 61)] {
        load.store(now, Ordering::Relaxed);
        for _ in 0..seconds {
            emergency.look();
            time.advance(Duration::from_secs(1));
        }
        writeln!(
            out,
            "{says}: ada {}, bob {}, admin {}, challenged {} %",
            let_in(&limiter, &ada),
            let_in(&limiter, &bob),
            let_in(&limiter, &admin),
            challenged.load(Ordering::Relaxed),
        )?;
    }

    let lasting = Duration::from_secs(30 * 60);
    let declared = emergency.enter("storm", lasting, "ada", "credential stuffing")?;
    writeln!(
        out,
        "{} by {}: {}",
        declared.profile, declared.by, declared.because
    )?;
    write!(out, "{}", limiter.explain(&bob, 1))?;
    time.advance(lasting);
    writeln!(out, "afterwards: {:?}", emergency.state())?;
    Ok(())
}
