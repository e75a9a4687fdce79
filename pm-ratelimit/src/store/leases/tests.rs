//! On a real server, by a clock that the tests move.

mod bound;

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::future::join_all;

use super::*;
use crate::store::conformance::Fixture;
use crate::store::redis::tests::{Around, Setup};
use crate::{BucketId, Fallback, MemoryStore, Mode, Quota, Refusals};

const DAILY: Quota = Quota::per_day(1);

/// A slice of everything.
const SLICE: u32 = 10;

fn charge(number: u128, cost: u32) -> Charge {
    let bucket = BucketId::from_u128(number << 64 | 7);
    Charge::new(bucket, DAILY.burst(100), cost).leased(SLICE)
}

/// An instance beside others on the same server.
struct Instance {
    leases: Arc<Leases>,
}

impl Instance {
    fn of(setup: &Setup) -> Self {
        let leases = Arc::new(Leases::of(Arc::clone(&setup.store), 64));
        Self { leases }
    }

    async fn decide(&self, setup: &Setup, charges: &[Charge]) -> Decision {
        let now = setup.now();
        if let Some(decision) = self.leases.try_decide(charges, now) {
            return decision;
        }
        let charges = Charges::try_from(charges).expect("no more than eight");
        let decided = Arc::clone(&self.leases).decide(charges, now).await;
        decided.expect("it works")
    }

    async fn admits(&self, setup: &Setup, charge: Charge) -> bool {
        self.decide(setup, &[charge]).await.is_admitted()
    }

    /// Until it holds a whole slice of a bucket that is new to it; how many were admitted.
    async fn warm_up(&self, setup: &Setup, charge: Charge) -> u32 {
        let others = self.held();
        for admitted in 1..charge.quota().capacity() {
            assert!(self.admits(setup, charge).await);
            if self.held() == others + charge.slice() {
                return admitted;
            }
        }
        panic!("{:?}", self.leases);
    }

    fn held(&self) -> u32 {
        u32::try_from(self.leases.stats().outstanding).expect("a few")
    }

    /// Twice, as what was used is kept once.
    async fn rest(&self) {
        self.leases.tend().await;
        self.leases.tend().await;
    }
}

/// What is in a bucket that nobody holds anything of.
async fn there(setup: &Setup, charge: Charge) -> u32 {
    let peek = charge.with_mode(Mode::Peek);
    setup.decide(&[peek]).await.outcomes()[0].remaining()
}

mod conformance {
    use super::*;

    crate::conformance!(Around::start(|store| Arc::new(Leases::of(Arc::clone(store), 64))).await);
}

#[tokio::test]
async fn what_is_taken_ahead_grows_with_use_and_takes_ever_fewer_questions() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let mut asked = Vec::new();
    for admitted in 1..=60 {
        let before = setup.server.calls("evalsha");
        assert!(instance.admits(&setup, charge(1, 1)).await);
        if setup.server.calls("evalsha") > before {
            asked.push(admitted);
        }
    }
    // With 0, 1, 2, 4 and 8 tokens ahead, then with as many as there may be.
    assert_eq!(asked, [1, 2, 4, 7, 12, 21, 32, 43, 54]);
    let expected = LeaseStats {
        lost: 0,
        outstanding: 4,
        returned: 0,
        spent: 51,
        taken: 55,
    };
    assert_eq!(instance.leases.stats(), expected);
}

#[tokio::test]
async fn the_last_tokens_are_there_for_everybody() {
    let setup = Setup::start().await;
    let instances = [(); 3].map(|()| Instance::of(&setup));
    let mut admitted = 0;
    for instance in instances.iter().cycle().take(300) {
        admitted += u32::from(instance.admits(&setup, charge(1, 1)).await);
    }
    assert_eq!(admitted, 100);
    assert_eq!(instances.map(|instance| instance.held()), [0; 3]);
}

#[tokio::test]
async fn nobody_takes_ahead_more_than_half_of_what_is_there() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let charge = charge(1, 1).leased(90);
    let mut most = 0;
    for _ in 0..100 {
        let before = instance.leases.stats().taken;
        assert!(instance.admits(&setup, charge).await);
        let taken = instance.leases.stats().taken - before;
        assert!(
            taken <= u64::from(there(&setup, charge).await + 1),
            "{taken}"
        );
        most = most.max(taken);
    }
    assert!(most > 20, "{most}");
}

#[tokio::test]
async fn what_is_left_pays_for_a_part_of_what_costs_more() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let admitted = instance.warm_up(&setup, charge(1, 1)).await;
    let left = 100 - admitted;
    let refused = instance.decide(&setup, &[charge(1, left + 1)]).await;
    assert!(!refused.is_admitted());
    let outcome = refused.outcomes()[0];
    assert_eq!((outcome.remaining(), instance.held()), (left, SLICE));
    assert_eq!(outcome.retry_after(), Some(DAILY.interval()));
    assert!(instance.admits(&setup, charge(1, left)).await);
    assert!(!instance.admits(&setup, charge(1, 1)).await);
    let never = instance.decide(&setup, &[charge(1, 101)]).await;
    assert!(never.outcomes()[0].is_never());
}

#[tokio::test]
async fn what_nobody_uses_is_given_back_and_what_is_used_is_kept() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let admitted = instance.warm_up(&setup, charge(1, 1)).await;
    instance.leases.tend().await;
    assert!(instance.admits(&setup, charge(1, 1)).await);
    instance.leases.tend().await;
    assert_eq!(instance.held(), SLICE - 1);
    instance.leases.tend().await;
    let stats = instance.leases.stats();
    assert_eq!((stats.outstanding, stats.returned, stats.lost), (0, 9, 0));
    assert_eq!(there(&setup, charge(1, 1)).await, 100 - admitted - 1);
    // It begins anew.
    assert!(instance.admits(&setup, charge(1, 1)).await);
    assert_eq!(instance.held(), 0);
}

#[tokio::test]
async fn on_shutdown_all_that_is_unspent_is_there_again_and_nothing_is_leased_any_more() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let mut admitted = Vec::new();
    for number in 0..20 {
        admitted.push(instance.warm_up(&setup, charge(number, 1)).await + 3);
        for _ in 0..3 {
            assert!(instance.admits(&setup, charge(number, 1)).await);
        }
    }
    assert_eq!(instance.held(), 20 * (SLICE - 3));
    instance.leases.release().await;
    let stats = instance.leases.stats();
    assert_eq!((stats.outstanding, stats.returned, stats.lost), (0, 140, 0));
    for (number, admitted) in (0..).zip(admitted) {
        assert_eq!(there(&setup, charge(number, 1)).await, 100 - admitted);
        for _ in 0..3 {
            assert!(instance.admits(&setup, charge(number, 1)).await);
        }
        assert_eq!(there(&setup, charge(number, 1)).await, 100 - admitted - 3);
    }
    assert_eq!(instance.leases.stats(), stats);
}

#[tokio::test]
async fn several_charges_are_paid_for_together_or_not_at_all() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let of_one = instance.warm_up(&setup, charge(1, 1)).await;
    let of_two = instance.warm_up(&setup, charge(2, 1)).await;
    let asked = setup.server.calls("evalsha");
    let both = [charge(1, 1), charge(2, 2)];
    for paid in 1..=5 {
        assert!(instance.decide(&setup, &both).await.is_admitted());
        assert_eq!(instance.held(), 2 * SLICE - 3 * paid);
    }
    assert_eq!(setup.server.calls("evalsha"), asked);

    // One that has to be asked about, and refuses: what the others have paid is put back.
    let empty = charge(3, 100).leased(0);
    assert!(instance.admits(&setup, empty).await);
    for refusing in [empty.with_cost(1), charge(3, 1)] {
        let refused = instance.decide(&setup, &[charge(1, 2), refusing]).await;
        assert!(!refused.is_admitted());
        let outcomes = refused.outcomes();
        assert!(outcomes[0].is_allowed() && !outcomes[1].is_allowed());
        assert_eq!(outcomes[0].remaining(), 100 - of_one - 5);
        assert_eq!(instance.held(), 5);
    }
    // The second has nothing left: it is asked about alone, and brings more.
    assert!(instance.decide(&setup, &both).await.is_admitted());
    assert_eq!(instance.held(), 4 + SLICE);
    instance.leases.release().await;
    assert_eq!(there(&setup, charge(1, 1)).await, 100 - of_one - 6);
    assert_eq!(there(&setup, charge(2, 1)).await, 100 - of_two - 12);
}

#[tokio::test]
async fn a_bucket_that_is_charged_twice_is_taken_ahead_of_once() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let mut left = 100 - instance.warm_up(&setup, charge(1, 1)).await;
    for _ in 0..7 {
        let twice = [charge(1, 3), charge(1, 4)];
        assert!(instance.decide(&setup, &twice).await.is_admitted());
        left -= 7;
        assert!(instance.held() <= SLICE);
    }
    instance.leases.release().await;
    assert_eq!(there(&setup, charge(1, 1)).await, left);
}

#[tokio::test]
async fn whoever_looks_sees_the_bucket_and_a_rule_on_trial_is_leased_too() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let trial = charge(1, 1).with_mode(Mode::Shadow);
    let admitted = instance.warm_up(&setup, trial).await;
    let peek = charge(1, 1).with_mode(Mode::Peek);
    let looked = instance.decide(&setup, &[peek]).await;
    assert_eq!(looked.outcomes()[0].remaining(), 100 - admitted - SLICE);
    for _ in 0..200 {
        assert!(instance.admits(&setup, trial).await);
    }
    let refused = instance.decide(&setup, &[trial]).await;
    assert!(refused.is_admitted() && !refused.outcomes()[0].is_allowed());

    // One that does not fit has not paid the part that there was.
    let trial = |cost| charge(2, cost).with_mode(Mode::Shadow);
    let left = 100 - instance.warm_up(&setup, trial(1)).await;
    let spent = instance.leases.stats().spent;
    let refused = instance.decide(&setup, &[trial(left + 1)]).await;
    assert!(refused.is_admitted() && !refused.outcomes()[0].is_allowed());
    assert_eq!(instance.leases.stats().spent, spent);
    assert_eq!(there(&setup, trial(1)).await, left - SLICE);
}

#[tokio::test]
async fn what_was_taken_under_another_quota_is_not_spent() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let admitted = instance.warm_up(&setup, charge(1, 1)).await;
    let smaller = Charge::new(charge(1, 1).bucket(), DAILY.burst(40), 1).leased(SLICE);
    // What is held is owed: no more than the rest is there.
    let mut left = 40 - admitted - SLICE;
    while instance.admits(&setup, smaller).await {
        left -= 1;
    }
    assert_eq!((left, instance.held()), (0, SLICE));
    instance.rest().await;
    assert_eq!(instance.held(), 0);
    assert!(!instance.admits(&setup, smaller).await, "it went over");

    // If the bucket has not gone over, it is given back.
    let admitted = instance.warm_up(&setup, charge(2, 1)).await;
    instance.rest().await;
    assert_eq!(there(&setup, charge(2, 1)).await, 100 - admitted);
}

#[tokio::test]
async fn without_room_every_decision_asks() {
    let setup = Setup::start().await;
    let leases = Arc::new(Leases::of(Arc::clone(&setup.store), 1));
    let instance = Instance { leases };
    for number in 0..8 {
        instance.warm_up(&setup, charge(number, 1)).await;
    }
    let asked = setup.server.calls("evalsha");
    for _ in 0..50 {
        assert!(instance.admits(&setup, charge(9, 1)).await);
    }
    assert_eq!(setup.server.calls("evalsha"), asked + 50);
    assert_eq!(instance.held(), 8 * SLICE);

    // Whoever comes once takes a place from nobody who holds something.
    for _ in 0..SLICE {
        assert!(instance.admits(&setup, charge(0, 1)).await);
    }
    instance.warm_up(&setup, charge(9, 1)).await;
    for number in 100..150 {
        assert!(instance.admits(&setup, charge(number, 1)).await);
    }
    assert_eq!(instance.held(), 8 * SLICE);
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_any_more_loses_nothing() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let mut admitted = instance.warm_up(&setup, charge(1, 1)).await;
    for _ in 0..SLICE - 1 {
        assert!(instance.admits(&setup, charge(1, 1)).await);
    }
    admitted += SLICE - 1;
    {
        let leases = Arc::clone(&instance.leases);
        let deciding = leases.decide(charge(1, 3).into(), setup.now());
        assert!(poll(pin!(deciding)).is_pending());
    }
    assert_eq!(instance.held(), 0, "the last token is on its way");
    // Another one waits for what it brings, and is admitted by that.
    assert!(instance.admits(&setup, charge(1, 1)).await);
    assert_eq!(instance.held(), SLICE - 1);
    instance.leases.release().await;
    let stats = instance.leases.stats();
    assert_eq!((stats.outstanding, stats.lost), (0, 0));
    assert_eq!(there(&setup, charge(1, 1)).await, 100 - admitted - 4);
}

/// Tokens that were on their way are put back while a slice is brought: there is room for one slice.
#[tokio::test]
async fn what_is_put_back_beside_a_new_slice_goes_back_to_the_bucket() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let admitted = instance.warm_up(&setup, charge(1, 1)).await;
    let empty = charge(2, 100).leased(0);
    assert!(instance.admits(&setup, empty).await);
    let mut both = Charges::from(charge(1, SLICE));
    both.push(empty).expect("there is room");
    let mut refused = pin!(Arc::clone(&instance.leases).decide(both, setup.now()));
    assert!(poll(refused.as_mut()).is_pending());
    assert_eq!(instance.held(), 0);
    let leases = Arc::clone(&instance.leases);
    let mut brings = pin!(leases.decide(charge(1, 3).into(), setup.now()));
    assert!(poll(brings.as_mut()).is_pending());
    assert!(!refused.await.expect("it works").is_admitted());
    assert!(brings.await.expect("it works").is_admitted());
    let stats = instance.leases.stats();
    assert_eq!((stats.outstanding, stats.returned, stats.lost), (10, 10, 0));
    assert_eq!(
        there(&setup, charge(1, 1)).await,
        100 - admitted - 3 - SLICE
    );
}

#[tokio::test]
async fn a_lease_that_more_is_taken_for_is_not_ended() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    instance.warm_up(&setup, charge(1, 1)).await;
    let leases = Arc::clone(&instance.leases);
    let mut brings = pin!(leases.decide(charge(1, SLICE + 1).into(), setup.now()));
    assert!(poll(brings.as_mut()).is_pending());
    for _ in 0..2 {
        assert!(instance.leases.0.table.sweep().is_empty());
    }
    assert!(brings.await.expect("it works").is_admitted());
    assert_eq!(instance.held(), SLICE);
}

#[tokio::test]
async fn what_is_on_its_way_at_the_end_is_given_back() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let admitted = instance.warm_up(&setup, charge(1, 10)).await * 10;
    assert!(instance.admits(&setup, charge(1, 10)).await);
    let leases = Arc::clone(&instance.leases);
    let mut deciding = pin!(leases.decide(charge(1, 1).into(), setup.now()));
    assert!(poll(deciding.as_mut()).is_pending());
    instance.leases.release().await;
    assert_eq!(instance.leases.stats().outstanding, 0);
    assert_eq!(there(&setup, charge(1, 1)).await, 100 - admitted - 11);
    assert!(deciding.await.expect("it works").is_admitted());
}

#[tokio::test]
async fn a_crowd_takes_one_slice_at_a_time_and_waits_for_it_once() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let quota = DAILY.burst(10_000);
    let charge = Charge::new(charge(1, 1).bucket(), quota, 1).leased(100);
    instance.warm_up(&setup, charge).await;
    for _ in 0..100 {
        assert!(instance.admits(&setup, charge).await);
    }
    let asked = setup.server.calls("evalsha");
    let crowd = (0..350).map(|_| instance.admits(&setup, charge));
    assert!(join_all(crowd).await.into_iter().all(|admitted| admitted));
    // One brings a hundred for the others. Those who get none of them ask, and one of them brings more.
    let asked = setup.server.calls("evalsha") - asked;
    assert!((2..=250).contains(&asked), "{asked}");
    assert!(instance.held() <= 100);
    instance.leases.release().await;
    assert_eq!(instance.leases.stats().lost, 0);
}

#[tokio::test]
async fn memory_is_fixed_from_the_start() {
    let setup = Setup::start().await;
    let store = Arc::clone(&setup.store);
    let mut leases = None;
    let made = allocation_counter::measure(|| leases = Some(Leases::of(store, 8_000)));
    assert!(made.bytes_total <= 8_000 * 170, "{made:?}");
}

#[tokio::test]
async fn a_local_decision_allocates_nothing() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    instance.warm_up(&setup, charge(1, 1)).await;
    instance.warm_up(&setup, charge(2, 1)).await;
    let info = allocation_counter::measure(|| {
        for paid in [true, true, false] {
            let both = [charge(1, 3), charge(2, 4)];
            let decided = instance.leases.try_decide(&both, setup.now());
            assert_eq!(decided.is_some(), paid);
        }
    });
    assert_eq!(info.count_total, 0);
}

/// Decides as a service has it: with a memory for refusals, and with a fallback around all.
fn composed(instance: &Instance) -> Arc<dyn RateLimitStore> {
    let refusals = Refusals::of(instance.leases.clone(), 100);
    Arc::new(Fallback::new(refusals, MemoryStore::bounded(100)).replicas(2))
}

async fn ask(store: &Arc<dyn RateLimitStore>, setup: &Setup, charge: Charge) -> Decision {
    if let Some(decision) = store.try_decide(&[charge], setup.now()) {
        return decision;
    }
    let deciding = Arc::clone(store).decide(charge.into(), setup.now());
    deciding.await.expect("it never fails")
}

#[tokio::test]
async fn without_the_server_what_is_held_is_spent_before_the_fallback_decides() {
    let mut setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let store = composed(&instance);
    let mut admitted = 0;
    while instance.held() < SLICE {
        assert!(ask(&store, &setup, charge(1, 1)).await.is_admitted());
        admitted += 1;
    }
    setup.server.kill();
    let other = charge(2, 1);
    while instance.leases.state() == State::Up {
        assert!(ask(&store, &setup, other).await.is_degraded());
    }
    instance.rest().await;
    for held in (0..SLICE).rev() {
        let decision = ask(&store, &setup, charge(1, 1)).await;
        assert!(decision.is_admitted() && !decision.is_degraded());
        assert_eq!(instance.held(), held);
        admitted += 1;
    }
    // Then this replica's share, half of it, less what it has seen.
    let decision = ask(&store, &setup, charge(1, 1)).await;
    assert!(decision.is_admitted() && decision.is_degraded());
    assert_eq!(decision.outcomes()[0].remaining(), (100 - admitted) / 2 - 1);
    assert_eq!(instance.leases.stats().lost, 0);
}

#[tokio::test]
async fn a_call_that_fails_puts_back_what_was_held() {
    let mut setup = Setup::start().await;
    let instance = Instance::of(&setup);
    instance.warm_up(&setup, charge(1, 1)).await;
    setup.server.kill();
    let leases = Arc::clone(&instance.leases);
    let failed = leases.decide(charge(1, 15).into(), setup.now()).await;
    assert!(failed.is_err());
    let stats = instance.leases.stats();
    assert_eq!((stats.outstanding, stats.lost), (10, 10), "{stats:?}");
    assert_eq!(stats.taken, stats.spent + stats.outstanding + stats.lost);
    instance.leases.release().await;
    let stats = instance.leases.stats();
    assert_eq!((stats.outstanding, stats.returned, stats.lost), (0, 0, 20));
}

#[tokio::test]
async fn a_refusal_is_not_remembered_for_longer_than_others_hold_what_they_do_not_use() {
    let setup = Setup::start().await;
    let (one, other) = (Instance::of(&setup), Instance::of(&setup));
    let store = composed(&one);
    let admitted = other.warm_up(&setup, charge(1, 1)).await;
    assert!(
        setup
            .decide(&[charge(1, 100 - admitted - SLICE)])
            .await
            .is_admitted()
    );
    assert!(!ask(&store, &setup, charge(1, 1)).await.is_admitted());
    let asked = setup.server.calls("evalsha");
    other.rest().await;
    assert!(!ask(&store, &setup, charge(1, 1)).await.is_admitted());
    setup.advance(Duration::from_secs(1)).await;
    for left in (0..SLICE).rev() {
        let decision = ask(&store, &setup, charge(1, 1)).await;
        assert!(decision.is_admitted(), "{left} are left");
        assert_eq!(decision.outcomes()[0].remaining(), left);
    }
    assert!(setup.server.calls("evalsha") > asked);
}

/// A trial that does not fit takes no more than the tokens ahead: what was held before is not of that
/// slice, and would be given back as if it were.
#[tokio::test]
async fn what_is_held_beside_a_trial_that_does_not_fit_goes_back_as_what_it_was() {
    let setup = Setup::start().await;
    let (one, other) = (Instance::of(&setup), Instance::of(&setup));
    let of = |cost| charge(1, cost).leased(100);
    // With 0, 1, 2 and 4 tokens ahead.
    for _ in 0..8 {
        assert!(one.admits(&setup, of(1)).await);
    }
    assert_eq!(one.held(), 3);
    let rest = there(&setup, of(1)).await - 10;
    assert!(other.admits(&setup, of(rest)).await);
    let trial = of(3 + 11).with_mode(Mode::Shadow);
    let decision = one.decide(&setup, &[trial]).await;
    assert!(!decision.outcomes()[0].is_allowed());
    let stats = one.leases.stats();
    assert_eq!((stats.outstanding, stats.returned, stats.lost), (8, 3, 0));
    one.leases.release().await;
    assert_eq!(there(&setup, of(1)).await, 13);
}

/// A server that is too slow to be heard but not to take would otherwise lose a slice to each question.
#[tokio::test]
async fn behind_a_question_that_failed_nothing_is_taken_ahead() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    instance.warm_up(&setup, charge(1, 1)).await;
    for _ in 0..SLICE {
        assert!(instance.admits(&setup, charge(1, 1)).await);
    }
    let key = format!("pm:ratelimit:{:032x}", charge(1, 1).bucket().as_u128());
    let _ = setup.server.ask(&["SET", &key, "not a bucket"]);
    for _ in 0..3 {
        let leases = Arc::clone(&instance.leases);
        let failed = leases.decide(charge(1, 1).into(), setup.now()).await;
        assert!(failed.is_err());
        assert_eq!(instance.leases.state(), State::Up);
        let stats = instance.leases.stats();
        assert_eq!((stats.outstanding, stats.lost), (0, SLICE.into()));
    }
    let _ = setup.server.ask(&["DEL", &key]);
    assert!(instance.admits(&setup, charge(1, 1)).await);
    assert_eq!(instance.held(), 0);
    assert!(instance.admits(&setup, charge(1, 1)).await);
    assert_eq!(instance.held(), 1, "it begins anew");
}

#[tokio::test]
async fn beside_a_charge_that_is_not_leased_nothing_is_taken_ahead_nor_waited_for() {
    let setup = Setup::start().await;
    let instance = Instance::of(&setup);
    let exact = charge(2, 1).leased(0);
    for _ in 0..20 {
        let decision = instance.decide(&setup, &[charge(1, 1), exact]).await;
        assert!(decision.is_admitted());
    }
    assert_eq!(instance.leases.stats(), LeaseStats::default());
    // What is held pays for its part.
    instance.warm_up(&setup, charge(1, 1)).await;
    let left = there(&setup, charge(1, 1)).await;
    for held in (0..SLICE).rev() {
        let decision = instance.decide(&setup, &[charge(1, 1), exact]).await;
        assert!(decision.is_admitted());
        assert_eq!(instance.held(), held);
    }
    assert_eq!(there(&setup, charge(1, 1)).await, left);

    let leases = Arc::clone(&instance.leases);
    let mut brings = pin!(leases.decide(charge(1, 1).into(), setup.now()));
    assert!(poll(brings.as_mut()).is_pending());
    let table = &instance.leases.0.table;
    let mut both = Charges::from(charge(1, 1));
    assert!(Order::of(table, both.clone(), true).is_err(), "it waits");
    both.push(exact).expect("there is room");
    assert!(Order::of(table, both, true).is_ok());
    assert!(brings.await.expect("it works").is_admitted());
    assert_eq!(instance.held(), SLICE);
}

#[tokio::test]
async fn what_nobody_waits_to_be_given_back_is_counted_as_lost() {
    let setup = Setup::start().await;
    for waits_for_a_flight in [false, true] {
        let instance = Instance::of(&setup);
        let number = u128::from(waits_for_a_flight) * 2;
        instance.warm_up(&setup, charge(number, 1)).await;
        instance.warm_up(&setup, charge(number + 1, 1)).await;
        let leases = Arc::clone(&instance.leases);
        let mut brings = pin!(leases.decide(charge(number, SLICE + 1).into(), setup.now()));
        let mut lost = 2 * u64::from(SLICE);
        if waits_for_a_flight {
            assert!(poll(brings.as_mut()).is_pending());
            lost = SLICE.into();
        }
        assert!(poll(pin!(instance.leases.release())).is_pending());
        if waits_for_a_flight {
            assert!(brings.await.expect("it works").is_admitted());
        }
        let stats = instance.leases.stats();
        assert_eq!((stats.outstanding, stats.lost), (0, lost), "{stats:?}");
        assert_eq!(stats.taken, stats.spent + stats.returned + stats.lost);
    }
}
