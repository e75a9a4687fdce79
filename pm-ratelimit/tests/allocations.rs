//! A decision that needs no waiting allocates nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use http::Method;
use pm_core::degrade::State;
use pm_core::{Clock, Identity, Tick};
use pm_ratelimit::{
    BucketId, By, Charge, Charges, Decision, Error, Fallback, Limiter, LocalStore, MemoryStore,
    MemoryUserQuotas, Op, PolicyName, Quota, RateLimitStore, Rule, Rules, STANDARD_ROLES, Stage,
    Subject, User,
};

#[test]
fn a_check_allocates_nothing_whatever_its_answer() {
    let limiter = Limiter::new(Quota::per_minute(60).burst(2)).with_clock(Clock::system());
    let addr: IpAddr = [192, 0, 2, 1].into();
    let info = allocation_counter::measure(|| {
        for cost in [1, 1, 1, 3] {
            assert!(limiter.try_check(&Subject::at(addr), cost).is_some());
        }
        for number in 0..1_000 {
            assert!(
                limiter
                    .try_check(&Subject::new().connection(number), 1)
                    .is_some()
            );
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn eight_charges_allocate_nothing() {
    let store = Arc::new(MemoryStore::bounded(100));
    let charges: [Charge; Charges::MAX] = std::array::from_fn(|bucket| {
        Charge::new(BucketId::from_u128(bucket as u128), Quota::per_day(2), 1)
    });
    let info = allocation_counter::measure(|| {
        for admitted in [true, true, false] {
            let decision = store
                .try_decide(&charges, Tick::ZERO)
                .expect("it never waits");
            assert_eq!(decision.is_admitted(), admitted);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn rules_roles_paths_and_quotas_of_users_allocate_nothing() {
    let by = |by| {
        Rule::always()
            .by(by)
            .quota(Quota::per_day(2))
            .stage(Stage::Identified)
    };
    let rules = Rules::new()
        .rule("client", by(By::Client))
        .rule("user", by(By::User).roles(STANDARD_ROLES))
        .rule("everyone", by(By::Everyone).shadow())
        .rule(
            "task",
            Rule::on("PUT /projects/{id}/tasks/{*rest}")
                .by(By::User)
                .quota(Quota::per_day(3)),
        );
    let quotas = MemoryUserQuotas::new();
    let ada = Identity::new("ada")
        .with_tenant("acme")
        .with_roles(["admin"]);
    quotas.assign(
        &PolicyName::from_static("task"),
        User::from(&ada),
        Quota::per_day(1),
    );
    let limiter = Limiter::builder(rules)
        .user_quotas(quotas)
        .build()
        .expect("valid rules");
    let addr: IpAddr = [192, 0, 2, 1].into();
    let subject = Subject::identity(&ada).client(addr);
    // The first decision of a thread makes its place in the list of those who read the rules.
    assert!(limiter.explain(&subject, 1).applying().count() > 0);
    let info = allocation_counter::measure(|| {
        let path = "/projects/%37/./tasks/a/b";
        let op = Op::request(&Method::PUT, path).expect("a path");
        let verdicts = [op, Op::from(1), op, Op::new("task.update"), op].map(|op| {
            let verdict = limiter.try_check(&subject, op).expect("it never waits");
            verdict.is_allowed()
        });
        assert_eq!(verdicts, [true, true, false, false, false]);
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_fallback_that_decides_or_mirrors_allocates_nothing() {
    // The primary is asked first, and what it says is mirrored; then it is down.
    let primary = Arc::new(Fallible::default());
    let store = Fallback::new(Arc::clone(&primary), MemoryStore::bounded(100)).replicas(3);
    let rules = Rules::new().rule(
        "user",
        Rule::always().by(By::User).quota(Quota::per_day(12)),
    );
    let limiter = Limiter::builder(rules)
        .store(store)
        .clock(Clock::manual().0)
        .build()
        .expect("valid rules");
    let ada = Subject::user("ada");
    assert!(limiter.explain(&ada, 1).applying().count() > 0);
    let info = allocation_counter::measure(|| {
        let check = || {
            limiter
                .try_check(&ada, 1)
                .expect("it never waits")
                .is_allowed()
        };
        assert_eq!([(); 6].map(|()| check()), [true; 6]);
        primary.down.store(true, Ordering::Relaxed);
        assert_eq!([(); 3].map(|()| check()), [true, true, false]);
    });
    assert_eq!(info.count_total, 0);
    assert_eq!(limiter.stats().degraded, 3);
}

/// Decides at once, until it is down.
#[derive(Debug)]
struct Fallible {
    memory: MemoryStore,
    down: AtomicBool,
}

impl Default for Fallible {
    fn default() -> Self {
        Self {
            memory: MemoryStore::bounded(100),
            down: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl RateLimitStore for Fallible {
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        let is_up = !self.down.load(Ordering::Relaxed);
        is_up.then(|| self.memory.decide_locally(charges, now))
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        Ok(self.memory.decide_locally(charges.as_slice(), now))
    }

    fn state(&self) -> State {
        if self.down.load(Ordering::Relaxed) {
            State::Down
        } else {
            State::Up
        }
    }
}

#[test]
fn a_flood_takes_no_memory_and_frees_nobody() {
    const ROOM: u64 = 10_000;
    let mut store = None;
    let made = allocation_counter::measure(|| {
        store = Some(Arc::new(MemoryStore::bounded(ROOM as usize)));
    });
    // What does not grow with the room is 64 KB.
    assert!(made.bytes_total <= 64 * ROOM + 70_000, "{made:?}");
    let limiter = Limiter::in_store(store.expect("it was made"), Quota::per_day(1));
    let allows = |number| {
        let verdict = limiter.try_check(&Subject::new().connection(number), 1);
        verdict.expect("it never waits").is_allowed()
    };
    for number in 0..100 {
        assert!(allows(number));
    }
    let flood = allocation_counter::measure(|| {
        for number in 100..10 * ROOM {
            allows(number);
        }
    });
    assert_eq!((flood.count_total, flood.bytes_total), (0, 0));
    for number in 0..100 {
        assert!(!allows(number), "{number} was let go");
    }
}
