//! The fallback over a primary that does as it is told, in virtual time.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use pm_core::degrade::{self, Switch};
use pm_core::{Clock, ManualTime};
use pm_testing::Log;
use proptest::prelude::*;

use super::*;
use crate::store::conformance::Fixture;
use crate::{BucketId, By, Limiter, MemoryStore, Quota, Refusals, Rule, Rules, Subject, Verdict};

const DEADLINE: Duration = Duration::from_millis(5);

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Answers,
    /// It arrives and is acted on, and the answer does not come back.
    Swallows,
    /// It does not arrive.
    Breaks,
}

/// A store of somebody else: with a deadline and a switch, as the contract asks for.
#[derive(Debug)]
struct Scripted {
    buckets: Arc<MemoryStore>,
    clock: Clock,
    switch: Switch,
    wire: Mutex<Wire>,
    asked: AtomicU64,
}

impl Scripted {
    fn new(clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            buckets: Arc::new(MemoryStore::bounded(1_000)),
            clock: clock.clone(),
            switch: Switch::up("scripted"),
            wire: Mutex::new(Wire::Answers),
            asked: AtomicU64::new(0),
        })
    }

    fn set(&self, wire: Wire) {
        *self.wire.lock().expect("sound") = wire;
        if wire == Wire::Answers
            && let Some(probe) = self.switch.probe()
        {
            probe.passed();
        }
    }

    fn fall(&self) {
        self.set(Wire::Breaks);
        if let Some(ticket) = self.switch.begin() {
            ticket.settle(degrade::Outcome::Lost);
        }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl RateLimitStore for Scripted {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        let down = || Error::unavailable("it is down");
        let ticket = self.switch.begin().ok_or_else(down)?;
        self.asked.fetch_add(1, Ordering::Relaxed);
        let wire = *self.wire.lock().expect("sound");
        let asking = async {
            let decided = Arc::clone(&self.buckets).decide(charges, now);
            match wire {
                Wire::Answers => decided.await,
                Wire::Breaks => Err(Error::unavailable("connection reset")),
                Wire::Swallows => {
                    let _ = decided.await;
                    pending().await
                }
            }
        };
        match self.clock.within(DEADLINE, asking).await {
            Ok(Ok(decision)) => {
                ticket.settle(degrade::Outcome::Answered);
                Ok(decision)
            }
            Ok(Err(error)) => {
                ticket.settle(degrade::Outcome::Lost);
                Err(error)
            }
            Err(_) => {
                ticket.settle(degrade::Outcome::TimedOut);
                Err(Error::TimedOut)
            }
        }
    }

    fn state(&self) -> State {
        self.switch.state()
    }
}

type Pair = Fallback<Arc<Scripted>, MemoryStore>;

struct Setup {
    primary: Arc<Scripted>,
    store: Arc<Pair>,
    clock: Clock,
    time: ManualTime,
}

impl Setup {
    fn of(replicas: u32) -> Self {
        let (clock, time) = Clock::manual();
        let primary = Scripted::new(&clock);
        Self {
            store: pair(&primary, replicas),
            primary,
            clock,
            time,
        }
    }

    fn down() -> Self {
        let setup = Self::of(1);
        setup.primary.fall();
        setup
    }

    fn decide(&self, charges: &[Charge]) -> Decision {
        decide(&self.store, &self.clock, &self.time, charges)
    }

    fn admits(&self, charge: Charge) -> bool {
        self.decide(&[charge]).is_admitted()
    }
}

fn pair(primary: &Arc<Scripted>, replicas: u32) -> Arc<Pair> {
    let local = MemoryStore::bounded(1_000);
    Arc::new(Fallback::new(Arc::clone(primary), local).replicas(replicas))
}

/// As a caller would, who goes on waiting for as long as there is something to wait for.
fn decide(store: &Arc<Pair>, clock: &Clock, time: &ManualTime, charges: &[Charge]) -> Decision {
    if let Some(decision) = store.try_decide(charges, clock.now()) {
        return decision;
    }
    let charges = Charges::try_from(charges).expect("no more than eight");
    let mut deciding = pin!(Arc::clone(store).decide(charges, clock.now()));
    loop {
        match poll(deciding.as_mut()) {
            Poll::Ready(decided) => return decided.expect("it never fails"),
            Poll::Pending => {
                let next = time.next_deadline().expect("it waits for time");
                time.advance(next.saturating_duration_since(clock.now()));
            }
        }
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[async_trait]
impl Fixture for Setup {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        self.store.clone()
    }

    fn now(&self) -> Tick {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.time.advance(by);
    }

    fn is_degraded(&self) -> bool {
        self.primary.state() == State::Down
    }
}

mod conformance_up {
    crate::conformance!(super::Setup::of(3));
}

mod conformance_down {
    crate::conformance!(super::Setup::down());
}

mod conformance_of_memory {
    use super::*;

    struct Memory(Arc<Fallback<MemoryStore, MemoryStore>>, Clock, ManualTime);

    impl Memory {
        fn new() -> Self {
            let (clock, time) = Clock::manual();
            let store = || MemoryStore::bounded(1_000);
            Self(Arc::new(Fallback::new(store(), store())), clock, time)
        }
    }

    #[async_trait]
    impl Fixture for Memory {
        fn store(&self) -> Arc<dyn RateLimitStore> {
            self.0.clone()
        }

        fn now(&self) -> Tick {
            self.1.now()
        }

        async fn advance(&self, by: Duration) {
            self.2.advance(by);
        }
    }

    crate::conformance!(Memory::new());
}

fn bucket(number: u128) -> BucketId {
    BucketId::from_u128(number << 64 | 7)
}

const DAILY: Quota = Quota::per_day(1);

#[test]
fn while_it_is_down_nobody_waits_and_nobody_asks() {
    let setup = Setup::down();
    let charge = Charge::new(bucket(1), DAILY.burst(2), 1);
    for admitted in [true, true, false] {
        let decision = setup.store.try_decide(&[charge], setup.clock.now());
        let decision = decision.expect("without waiting");
        assert_eq!(decision.is_admitted(), admitted);
        assert!(decision.is_degraded());
    }
    assert_eq!(setup.primary.asked(), 0, "a caller was the probe");
    let stats = setup.store.stats();
    assert_eq!((stats.degraded, stats.failed), (3, 0));
    setup.primary.set(Wire::Answers);
    assert!(!setup.decide(&[charge]).is_degraded());
    assert_eq!(setup.primary.asked(), 1);
}

#[test]
fn a_call_in_flight_is_decided_at_its_deadline_and_only_tightens() {
    let setup = Setup::of(1);
    let charge = Charge::new(bucket(1), DAILY.burst(4), 1);
    assert!(setup.admits(charge));
    setup.primary.set(Wire::Swallows);
    let began = setup.clock.now();
    let decision = setup.decide(&[charge]);
    let waited = setup.clock.now().saturating_duration_since(began);
    assert_eq!(waited, DEADLINE);
    assert!(decision.is_admitted() && decision.is_degraded());
    assert_eq!(
        decision.outcomes()[0].remaining(),
        2,
        "it began with a debt"
    );
    assert_eq!(setup.primary.switch.stats().ambiguous, 1);
    assert_eq!(setup.store.stats().failed, 1);

    // Behind the first, nobody waits any more.
    assert!(setup.admits(charge));
    assert_eq!(setup.clock.now().saturating_duration_since(began), DEADLINE);
    setup.primary.set(Wire::Answers);
    let peek = charge.with_mode(Mode::Peek);
    assert_eq!(
        setup.decide(&[peek]).outcomes()[0].remaining(),
        2,
        "the primary took what it did not answer, once"
    );
}

#[test]
fn a_caller_that_goes_away_leaves_nothing_behind() {
    let setup = Setup::of(1);
    setup.primary.set(Wire::Swallows);
    let charge = Charge::new(bucket(1), DAILY.burst(4), 1);
    {
        let deciding = Arc::clone(&setup.store).decide(charge.into(), setup.clock.now());
        assert!(poll(pin!(deciding)).is_pending());
    }
    assert_eq!(setup.time.next_deadline(), None);
    assert_eq!(setup.store.stats(), FallbackStats::default());
    assert_eq!(setup.primary.state(), State::Up);
}

#[test]
fn losing_the_primary_gives_no_fresh_burst() {
    // A fallback that starts cold hands out a full burst at the moment of failure.
    let setup = Setup::of(1);
    let charge = Charge::new(bucket(1), DAILY.burst(10), 1);
    for _ in 0..10 {
        assert!(setup.admits(charge));
    }
    setup.primary.fall();
    assert!(!setup.admits(charge));
    setup.time.advance(DAILY.interval());
    assert!(setup.admits(charge));
    assert!(!setup.admits(charge));
}

#[test]
fn the_last_known_debt_is_shared_by_the_replicas() {
    for taken in [0, 3, 30, 60, 87, 90] {
        let setup = Setup::of(3);
        let replicas = [1, 2, 3].map(|_| pair(&setup.primary, 3));
        let charge = Charge::new(bucket(1), DAILY.burst(90), 1);
        let take =
            |at: usize| decide(&replicas[at], &setup.clock, &setup.time, &[charge]).is_admitted();
        for number in 0..taken {
            assert!(take(number % 3));
        }
        setup.primary.fall();
        let admitted: usize = (0..3)
            .map(|at| (0..90).take_while(|_| take(at)).count())
            .sum();
        // Two of them have not seen the last verdicts of the others.
        let left = 90 - taken;
        assert!(admitted <= left + 1, "{admitted} of {left}");
        assert!(admitted + 3 >= left, "only {admitted} of {left}");
    }
}

#[test]
fn a_refusal_of_the_primary_is_known_to_the_fallback_too() {
    let setup = Setup::of(1);
    let other = pair(&setup.primary, 1);
    let charge = |cost| Charge::new(bucket(1), DAILY.burst(5), cost);
    assert!(decide(&other, &setup.clock, &setup.time, &[charge(4)]).is_admitted());
    assert!(!setup.admits(charge(2)), "taken by another process");
    setup.primary.fall();
    assert!(!setup.admits(charge(2)));
    assert!(setup.admits(charge(1)));
}

#[test]
fn an_answer_that_is_overtaken_does_not_loosen() {
    let setup = Setup::of(1);
    let charge = Charge::new(bucket(1), DAILY.burst(10), 1);
    let now = setup.clock.now();
    let owes = |tokens: u32| {
        let reset = DAILY.interval_nanos() * u64::from(tokens);
        Decision::admitted([Outcome::fits(10 - tokens, reset)])
    };
    for tokens in [8, 3, 0] {
        setup.store.mirror(&[charge], &owes(tokens), now);
    }
    setup.primary.fall();
    assert!(setup.admits(charge));
    assert!(setup.admits(charge));
    assert!(!setup.admits(charge));
}

#[test]
fn what_is_admitted_without_the_primary_counts_in_the_next_outage() {
    let setup = Setup::of(1);
    let charge = Charge::new(bucket(1), DAILY.burst(4), 1);
    setup.primary.fall();
    assert!(setup.admits(charge.with_mode(Mode::Shadow)));
    for _ in 0..3 {
        assert!(setup.admits(charge));
    }
    setup.primary.set(Wire::Answers);
    assert!(setup.admits(charge), "the primary was not told");
    setup.primary.fall();
    assert!(!setup.admits(charge));
}

#[test]
fn a_peek_and_what_was_not_looked_at_are_not_mirrored() {
    let setup = Setup::of(1);
    let charge = Charge::new(bucket(1), DAILY.burst(2), 1);
    let owes = Outcome::waits(0, 2 * DAILY.interval_nanos(), DAILY.interval_nanos());
    let now = setup.clock.now();
    let peek = charge.with_mode(Mode::Peek);
    setup
        .store
        .mirror(&[peek], &Decision::admitted([owes]), now);
    setup
        .store
        .mirror(&[charge], &Decision::refused([Outcome::unknown()]), now);
    setup.primary.fall();
    assert!(setup.admits(charge));
}

#[test]
fn a_primary_whose_clock_stepped_back_does_not_lock_out_for_longer_than_a_bucket() {
    let setup = Setup::of(1);
    let quota = Quota::per_second(10);
    let charge = Charge::new(bucket(1), quota, 1);
    let hour = 3_600_000_000_000;
    let decision = Decision::refused([Outcome::waits(0, hour, hour)]);
    setup.store.mirror(&[charge], &decision, setup.clock.now());
    setup.primary.fall();
    assert!(!setup.admits(charge));
    setup.time.advance(quota.interval());
    assert!(setup.admits(charge));
}

#[test]
fn a_replica_gives_out_its_share_of_rate_and_burst() {
    let setup = Setup::of(4);
    setup.primary.fall();
    let quota = Quota::per_second(100).burst(20);
    let charge = Charge::new(bucket(1), quota, 1);
    let admitted = |count: usize| (0..count).filter(|_| setup.admits(charge)).count();
    assert_eq!(admitted(100), 5);
    setup.time.advance(Duration::from_millis(40));
    assert_eq!(admitted(100), 1, "25 a second");
    setup.time.advance(Duration::from_secs(60));
    assert_eq!(admitted(100), 5);
}

#[test]
fn what_fits_the_whole_quota_is_never_told_that_it_cannot_fit() {
    let setup = Setup::of(4);
    setup.primary.fall();
    let quota = Quota::per_second(10).burst(10);
    let charge = |cost| Charge::new(bucket(1), quota, cost);
    let decision = setup.decide(&[charge(11)]);
    assert!(decision.outcomes()[0].is_never(), "nor by the primary");
    // More than its share, for which it has to be full; it is paid for at the rate of the share.
    for cost in [10, 7] {
        assert!(setup.admits(charge(cost)));
        for next in [1, cost] {
            let refused = setup.decide(&[charge(next)]);
            let outcome = refused.outcomes()[0];
            let wait = outcome.retry_after().expect("waiting helps");
            assert!(wait <= quota.interval() * 4 * cost, "{wait:?}");
        }
        setup.time.advance(quota.interval() * 4 * cost);
    }
    // A burst of one at least.
    let one = Charge::new(bucket(2), Quota::per_second(1), 1);
    assert!(setup.admits(one));
    assert!(!setup.admits(one));
    setup.time.advance(Duration::from_secs(4));
    assert!(setup.admits(one));
}

#[test]
fn the_longest_quota_of_many_replicas_stays_within_a_lifetime() {
    let setup = Setup::of(u32::MAX);
    setup.primary.fall();
    let quota = Quota::new(1, Duration::from_secs(366 * 86_400)).burst(100);
    let charge = |cost| Charge::new(bucket(1), quota, cost);
    for cost in [100, 1] {
        let decision = setup.decide(&[charge(cost)]);
        assert_eq!(decision.is_admitted(), cost == 100);
        assert!(!decision.outcomes()[0].is_never());
    }
}

#[test]
fn a_change_of_quota_without_the_primary_keeps_the_debt() {
    let setup = Setup::of(2);
    let charge = |quota, cost| Charge::new(bucket(1), quota, cost);
    assert!(setup.admits(charge(DAILY.burst(20), 10)));
    setup.primary.fall();
    // A half of ten is owed by this replica: of ten that it may give out, and then of twenty.
    let left = |quota| {
        let decision = setup.decide(&[charge(quota, 0)]);
        decision.outcomes()[0].remaining()
    };
    assert_eq!(left(DAILY.burst(20)), 5);
    assert_eq!(left(Quota::per_day(7).burst(40)), 15);
    assert_eq!(left(DAILY.burst(20)), 5);
}

#[test]
fn each_rule_says_what_happens() {
    let setup = Setup::down();
    let quota = DAILY.burst(2);
    let charge =
        |number, on_failure| Charge::new(bucket(number), quota, 1).with_on_failure(on_failure);
    let local = charge(1, OnFailure::Local);
    let open = charge(2, OnFailure::Open);
    let closed = charge(3, OnFailure::Closed);
    for admitted in [true, true, false] {
        let decision = setup.decide(&[open, local, open]);
        assert_eq!(decision.is_admitted(), admitted);
        assert!(decision.is_degraded());
        let [first, second, third] = decision.outcomes() else {
            panic!("three")
        };
        assert!(!first.is_known() && first.is_allowed() && first == third);
        assert!(second.is_known());
        assert_eq!(second.is_allowed(), admitted);
    }
    assert!(setup.decide(&[open]).is_admitted());

    let local = charge(4, OnFailure::Local);
    let refused = setup.decide(&[local, closed, open]);
    assert!(!refused.is_admitted() && refused.is_degraded());
    let closings: Vec<bool> = refused.outcomes().iter().map(Outcome::is_closed).collect();
    assert_eq!(closings, [false, true, false]);
    assert_eq!(
        refused.outcomes()[1].retry_after(),
        Some(Duration::from_secs(1))
    );
    // A rule on trial closes nothing, and nothing was taken.
    let trial = closed.with_mode(Mode::Shadow);
    let admitted = setup.decide(&[local, trial]);
    assert!(admitted.is_admitted());
    assert_eq!(admitted.outcomes()[0].remaining(), 1);
}

#[test]
fn a_limiter_tells_its_callers_and_counts() {
    let setup = Setup::down();
    let rule = |on_failure| {
        let rule = Rule::always().by(By::User).quota(DAILY.burst(2));
        rule.if_store_fails(on_failure)
    };
    let limiter = |rules| {
        let builder = Limiter::builder(rules).clock(setup.clock.clone());
        builder
            .shared_store(setup.store.clone())
            .build()
            .expect("valid rules")
    };
    let ada = Subject::user("ada");

    let local = limiter(Rules::new().rule("local", rule(OnFailure::Local)));
    for left in [1, 0] {
        let Some(Verdict::Allowed(allowed)) = local.try_check(&ada, 1) else {
            panic!("refused")
        };
        assert_eq!((allowed.remaining(), allowed.degraded()), (left, true));
    }
    let Some(Verdict::Refused(refused)) = local.try_check(&ada, 1) else {
        panic!("allowed")
    };
    assert!(refused.degraded());
    assert_eq!(refused.policy().expect("a rule").as_str(), "local");
    assert_eq!(refused.retry_after(), DAILY.interval());
    assert_eq!((local.stats().degraded, local.stats().failed), (3, 0));

    let open = limiter(Rules::new().rule("open", rule(OnFailure::Open)));
    for _ in 0..5 {
        let Some(Verdict::Allowed(allowed)) = open.try_check(&ada, 1) else {
            panic!("refused")
        };
        assert_eq!((allowed.remaining(), allowed.degraded()), (0, true));
    }

    let both = Rules::new()
        .rule("closed", rule(OnFailure::Closed))
        .rule("other", rule(OnFailure::Local));
    let Some(Verdict::Refused(refused)) = limiter(both).try_check(&ada, 1) else {
        panic!("allowed")
    };
    assert!(refused.degraded());
    assert_eq!(refused.policy().expect("a rule").as_str(), "closed");
    assert_eq!(refused.retry_after(), Duration::from_secs(1));
}

#[test]
fn each_switch_is_one_line_whatever_the_number_of_requests() {
    let log = Log::capture(tracing::Level::INFO);
    let setup = Setup::of(1);
    let quota = Quota::per_second(1_000);
    let rules = Rules::new().rule("user", Rule::always().by(By::User).quota(quota));
    // With the fallback, and with the primary alone.
    let stores: [Arc<dyn RateLimitStore>; 2] = [setup.store.clone(), setup.primary.clone()];
    for store in stores {
        let builder = Limiter::builder(rules.clone()).clock(setup.clock.clone());
        let limiter = builder.shared_store(store).build().expect("valid rules");
        let ada = Subject::user("ada");
        // A hundred in flight, and then a hundred that come.
        setup.primary.set(Wire::Swallows);
        let mut checks: Vec<_> = (0..100).map(|_| Box::pin(limiter.check(&ada, 1))).collect();
        for check in &mut checks {
            assert!(poll(check.as_mut()).is_pending());
        }
        setup.time.advance(DEADLINE);
        for check in &mut checks {
            assert!(poll(check.as_mut()).is_ready());
        }
        for _ in 0..100 {
            assert!(poll(pin!(limiter.check(&ada, 1))).is_ready());
        }
        setup.primary.set(Wire::Answers);
        assert!(poll(pin!(limiter.check(&ada, 1))).is_ready());
        let lines = log.lines();
        let warnings = lines.iter().filter(|line| line.contains("WARN")).count();
        assert_eq!(warnings % 2, 0, "{lines:#?}");
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    for (line, says) in lines.iter().zip(["down: ", "back: ", "down: ", "back: "]) {
        assert!(line.contains(says), "{lines:#?}");
    }
}

#[test]
fn a_failure_that_no_switch_tells_of_is_told_once_a_minute() {
    #[derive(Debug)]
    struct Misused;

    #[async_trait]
    impl RateLimitStore for Misused {
        fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
            None
        }

        async fn decide(self: Arc<Self>, _: Charges, _: Tick) -> Result<Decision, Error> {
            Err(Error::unavailable("it holds a string there"))
        }
    }

    let log = Log::capture(tracing::Level::INFO);
    let (clock, time) = Clock::manual();
    let store = Arc::new(Fallback::new(Misused, MemoryStore::bounded(10)));
    let charge = Charge::new(bucket(1), DAILY.burst(1_000), 1);
    for _ in 0..121 {
        let decided = Arc::clone(&store).decide(charge.into(), clock.now());
        let Poll::Ready(Ok(decision)) = poll(pin!(decided)) else {
            panic!("it failed, or waits")
        };
        assert!(decision.is_admitted() && decision.is_degraded());
        time.advance(Duration::from_secs(1));
    }
    assert_eq!(store.stats().failed, 121);
    let lines = log.lines();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("it holds a string there"), "{lines:#?}");
    assert!(lines[1].contains("unsaid=59"), "{lines:#?}");
}

#[test]
fn refusals_are_remembered_inside_and_outside() {
    let (clock, time) = Clock::manual();
    let quota = DAILY.burst(1);
    let charge = |number| Charge::new(bucket(number), quota, 1);

    // Inside: known without a round trip, and mirrored.
    let primary = Scripted::new(&clock);
    let inside = Fallback::new(Refusals::of(primary.clone(), 10), MemoryStore::bounded(10));
    let inside = Arc::new(inside);
    let ask = |store: &Arc<dyn RateLimitStore>| {
        if let Some(decision) = store.try_decide(&[charge(1)], clock.now()) {
            return decision;
        }
        let deciding = Arc::clone(store).decide(charge(1).into(), clock.now());
        let Poll::Ready(Ok(decision)) = poll(pin!(deciding)) else {
            panic!("it failed, or waits")
        };
        decision
    };
    let outside: Arc<dyn RateLimitStore> = Arc::new(Refusals::of(inside.clone(), 10));
    for store in [inside.clone() as Arc<dyn RateLimitStore>, outside] {
        time.advance(DAILY.interval());
        assert!(ask(&store).is_admitted());
        let asked = primary.asked();
        for _ in 0..10 {
            assert!(!ask(&store).is_admitted());
        }
        assert!(primary.asked() <= asked + 1);
    }
    primary.fall();
    assert_eq!(inside.primary().state(), State::Down);
    let inside: Arc<dyn RateLimitStore> = inside;
    let refused = ask(&inside);
    let known = "the local store knows by the mirror";
    assert!(!refused.is_admitted() && refused.is_degraded(), "{known}");
    let decided = inside.try_decide(&[charge(2)], clock.now());
    assert!(decided.is_some_and(|decision| decision.is_degraded()));
}

/// A refusal that is remembered for a day would close rules that are to be open.
#[test]
fn what_the_primary_remembers_to_have_refused_counts_only_while_it_is_up() {
    let (clock, _time) = Clock::manual();
    let primary = Scripted::new(&clock);
    let refusals = Refusals::of(primary.clone(), 10);
    let store = Arc::new(Fallback::new(refusals, MemoryStore::bounded(10)).replicas(2));
    let charge = |cost| Charge::new(bucket(1), DAILY.burst(4), cost);
    let ask = |charge: Charge| {
        store.try_decide(&[charge], clock.now()).unwrap_or_else(|| {
            let deciding = Arc::clone(&store).decide(charge.into(), clock.now());
            let Poll::Ready(Ok(decision)) = poll(pin!(deciding)) else {
                panic!("it failed, or waits")
            };
            decision
        })
    };
    let open = charge(4).with_on_failure(OnFailure::Open);
    assert!(ask(open).is_admitted());
    assert!(!ask(open).is_admitted());
    let asked = primary.asked();
    assert!(!ask(open).is_admitted());
    assert_eq!(primary.asked(), asked, "it is remembered");
    primary.fall();
    let decision = ask(open);
    assert!(decision.is_admitted() && decision.is_degraded());
    let closed = ask(charge(1).with_on_failure(OnFailure::Closed));
    assert!(closed.outcomes()[0].is_closed());
    // It is this replica's share that refuses: half of a token a day.
    let local = ask(charge(1));
    assert!(!local.is_admitted() && local.is_degraded());
    assert_eq!(
        local.outcomes()[0].retry_after(),
        Some(DAILY.interval() * 2)
    );
    primary.set(Wire::Answers);
    assert!(!ask(open).is_degraded());
}

#[test]
#[should_panic(expected = "at least one replica")]
fn no_replica_at_all_is_a_mistake() {
    let (clock, _time) = Clock::manual();
    let _ = pair(&Scripted::new(&clock), 0);
}

/// What happens to three replicas of one service.
#[derive(Clone, Copy, Debug)]
enum Event {
    Asks { replica: usize, cost: u32 },
    Passes(Duration),
    Wire(Wire),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..3usize, 1u32..4).prop_map(|(replica, cost)| Event::Asks { replica, cost }),
        3 => (0u64..3_000).prop_map(|millis| Event::Passes(Duration::from_millis(millis))),
        1 => prop_oneof![
            Just(Wire::Answers), Just(Wire::Swallows), Just(Wire::Breaks)
        ].prop_map(Event::Wire),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever happens, nobody waits for longer than the deadline and nothing fails; without the
    /// primary the replicas together admit no more than the quota.
    #[test]
    fn an_outage_admits_no_more_than_the_quota(
        events in proptest::collection::vec(event(), 1..200),
        third in 1u32..8,
    ) {
        let quota = Quota::per_second(3).burst(third * 3);
        let setup = Setup::of(3);
        let replicas = [0, 1, 2].map(|_| pair(&setup.primary, 3));
        // Tokens that were admitted since, and how they were decided.
        let mut outage: Option<(Tick, u64)> = None;
        for event in events {
            match event {
                Event::Passes(time) => setup.time.advance(time),
                Event::Wire(wire) => setup.primary.set(wire),
                Event::Asks { replica, cost } => {
                    let cost = cost.min(third);
                    let before = setup.clock.now();
                    let charge = Charge::new(bucket(1), quota, cost);
                    let store = &replicas[replica];
                    let decision = decide(store, &setup.clock, &setup.time, &[charge]);
                    let now = setup.clock.now();
                    prop_assert!(now.saturating_duration_since(before) <= DEADLINE);
                    if !decision.is_degraded() {
                        outage = None;
                        continue;
                    }
                    let (began, admitted) = outage.get_or_insert((before, 0));
                    if decision.is_admitted() {
                        *admitted += u64::from(cost);
                    }
                    let lasted = now.saturating_duration_since(*began).as_secs_f64();
                    let most = f64::from(quota.capacity()) + 3.0 * lasted;
                    prop_assert!(*admitted as f64 <= most + 1e-6, "{admitted} of {most}");
                }
            }
        }
    }
}
