//! What is given back, compared with what would have been if it had never been taken.

use super::*;
use crate::store::redis::answer::Answer;

/// A decision that was made in one slot, and may have to give back.
struct Taken {
    group: Group,
    answer: Answer,
}

impl Setup {
    /// Takes, where it fits.
    async fn take(&self, charges: &[Charge]) -> Option<Taken> {
        let mut groups = Group::all(&self.store, charges);
        let group = groups.pop().expect("charges");
        let answer = group.decide(&self.store).await.expect("it works");
        answer.admitted.then_some(Taken { group, answer })
    }

    async fn give_back(&self, taken: &mut Taken) {
        let Taken { group, answer } = taken;
        group
            .give_back(&self.store, answer)
            .await
            .expect("it works");
    }

    /// What the bucket of a charge owes, in nanoseconds.
    async fn debt(&self, charge: Charge) -> u64 {
        let look = Charge::new(charge.bucket(), *charge.quota(), 0)
            .with_ceiling(charge.ceiling())
            .with_mode(Mode::Peek);
        self.decide(&[look]).await.outcomes()[0].reset_nanos()
    }

    fn pass(&self, micros: u64) {
        self.set(self.now.load(Ordering::Relaxed) + micros);
    }
}

/// One token in 1,000.25 µs.
fn odd() -> Quota {
    let quota = Quota::new(4_000, Duration::from_micros(4_001_000)).burst(1_000);
    assert_eq!(quota.interval_nanos(), 1_000_250);
    quota
}

#[tokio::test]
async fn a_bucket_that_nobody_else_charged_is_as_before() {
    let setup = Setup::start().await;
    for (number, owed, passes) in [(0, 0, 300), (1, 5, 300), (2, 5, 5_500), (3, 0, 999)] {
        let charge = |cost| Charge::new(bucket(number), odd(), cost);
        let earlier = setup.take(&[charge(owed)]).await;
        setup.pass(100);
        let before = setup.debt(charge(0)).await;
        let mut taken = setup.take(&[charge(3)]).await.expect("it fits");
        setup.pass(passes);
        setup.give_back(&mut taken).await;
        let expected = before.saturating_sub(passes * 1_000);
        assert_eq!(
            setup.debt(charge(0)).await,
            expected,
            "{owed} owed, {passes} µs"
        );
        let told = answer::decision(slice::from_ref(&taken.group), &[Some(taken.answer.clone())]);
        assert_eq!(told.outcomes()[0].reset_nanos(), expected);
        assert!(told.outcomes()[0].is_allowed());
        drop(earlier);
    }
    let left = setup.buckets().len();
    assert_eq!(
        left,
        1,
        "a bucket that is full is not there: {:?}",
        setup.buckets()
    );
}

#[tokio::test]
async fn what_has_drained_is_not_given_back_out_of_what_others_took() {
    let setup = Setup::start().await;
    let charge = |cost| Charge::new(bucket(0), odd(), cost);
    let mut taken = setup.take(&[charge(3)]).await.expect("it fits");
    setup.pass(4_000);
    assert!(setup.take(&[charge(2)]).await.is_some());
    let before = setup.buckets();
    setup.give_back(&mut taken).await;
    assert_eq!(setup.buckets(), before);
    setup.give_back(&mut taken).await;
    assert_eq!(setup.buckets(), before);

    // Half of it has drained, and others came late.
    let charge = |cost| Charge::new(bucket(1), odd(), cost);
    let mut taken = setup.take(&[charge(4)]).await.expect("it fits");
    setup.pass(2_000);
    assert!(setup.take(&[charge(2)]).await.is_some());
    setup.give_back(&mut taken).await;
    assert_eq!(setup.debt(charge(0)).await, 2 * 1_000_250);
}

#[tokio::test]
async fn a_bucket_under_another_quota_since_is_given_nothing_back() {
    let setup = Setup::start().await;
    let other = Quota::per_day(5).burst(100);
    for (number, between) in [
        (0, vec![Charge::new(bucket(0), other, 0)]),
        (
            1,
            vec![Charge::new(bucket(1), odd(), 0).with_ceiling(2_000)],
        ),
        // There and back again.
        (
            2,
            vec![
                Charge::new(bucket(2), other, 0),
                Charge::new(bucket(2), odd(), 0),
            ],
        ),
    ] {
        let mut taken = setup.take(&[Charge::new(bucket(number), odd(), 3)]).await;
        setup.pass(1);
        for charge in between {
            assert!(setup.take(&[charge]).await.is_some());
        }
        let before = setup.buckets();
        setup.give_back(taken.as_mut().expect("it fits")).await;
        assert_eq!(setup.buckets(), before, "bucket {number}");
    }
}

#[tokio::test]
async fn a_replica_that_had_not_heard_of_it_gives_nothing_back() {
    let setup = Setup::start().await;
    let charge = Charge::new(bucket(0), odd(), 3);
    assert!(setup.take(&[charge]).await.is_some());
    setup.pass(1_000);
    let replica = setup.buckets();
    let mut taken = setup.take(&[charge]).await.expect("it fits");
    let (key, (text, expires)) = replica.iter().next().expect("one");
    let _ = setup
        .server
        .ask(&["SET", key, text, "PXAT", &expires.to_string()]);
    setup.pass(100);
    setup.give_back(&mut taken).await;
    assert_eq!(setup.buckets(), replica);

    // Nor one whose clock is not where it was.
    let mut taken = setup.take(&[charge]).await.expect("it fits");
    let before = setup.buckets();
    setup.set(START);
    setup.give_back(&mut taken).await;
    assert_eq!(setup.buckets(), before);
}

#[derive(Clone, Debug)]
enum Step {
    Passes(u64),
    /// Takes from the bucket, twice with the second cost if there is one, to keep it or not.
    Take {
        costs: (u32, Option<u32>),
        keeps: bool,
    },
    /// Of those that are not kept, the one at this place.
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u64..3_000).prop_map(Step::Passes),
        4 => (1u32..4, proptest::option::of(1u32..3), any::<bool>())
            .prop_map(|(cost, second, keeps)| Step::Take { costs: (cost, second), keeps }),
        3 => (0usize..8).prop_map(Step::GiveBack),
    ]
}

/// What a bucket owes after these charges and no others, in nanoseconds: moments in microseconds,
/// and costs.
fn owed<'a>(charges: impl Iterator<Item = &'a (u64, u32)>, quota: &Quota, now: u64) -> u64 {
    let (mut debt, mut then) = (0u64, 0);
    for &(at, cost) in charges {
        debt = debt.saturating_sub((at - then) * 1_000) + u64::from(cost) * quota.interval_nanos();
        then = at;
    }
    debt.saturating_sub((now - then) * 1_000)
}

/// Whatever is taken and given back, and in whichever order: no bucket is ever fuller than if what
/// was given back had never been taken, and each charge is given back but for what can have drained.
#[test]
fn nothing_is_given_back_that_has_drained() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let setup = runtime.block_on(Setup::start());
    let buckets = AtomicU64::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    });
    let quotas = prop_oneof![
        Just(odd().burst(12)),
        Just(Quota::per_second(1_000_000).burst(5_000))
    ];
    let run = runner.run(
        &(quotas, proptest::collection::vec(step(), 1..40)),
        |(quota, steps)| {
            let number = buckets.fetch_add(1, Ordering::Relaxed);
            let charge = |cost| Charge::new(bucket(number), quota, cost);
            // In the order of time, each with what it takes to give it back.
            let mut live: Vec<((u64, u32), Option<Taken>)> = Vec::new();
            for step in steps {
                let now = setup.now.load(Ordering::Relaxed);
                match step {
                    Step::Passes(micros) => setup.pass(micros),
                    Step::Take {
                        costs: (first, second),
                        keeps,
                    } => {
                        let costs = [Some(first), second];
                        let charges: Vec<Charge> =
                            costs.iter().flatten().map(|&cost| charge(cost)).collect();
                        if let Some(taken) = runtime.block_on(setup.take(&charges)) {
                            let cost = first + second.unwrap_or(0);
                            live.push(((now, cost), (!keeps).then_some(taken)));
                        }
                    }
                    Step::GiveBack(place) => {
                        let pending = live
                            .iter()
                            .enumerate()
                            .filter(|(_, (_, taken))| taken.is_some());
                        let pending: Vec<usize> = pending.map(|(at, _)| at).collect();
                        let Some(&at) = pending.get(place % pending.len().max(1)) else {
                            continue;
                        };
                        let ((then, cost), taken) = live.remove(at);
                        let before = runtime.block_on(setup.debt(charge(0)));
                        let mut taken = taken.expect("it is pending");
                        runtime.block_on(setup.give_back(&mut taken));
                        let after = runtime.block_on(setup.debt(charge(0)));
                        let price = u64::from(cost) * quota.interval_nanos();
                        let charges = taken.answer.parts.len() as u64;
                        let least = price.saturating_sub(charges * (now - then) * 1_000);
                        prop_assert!(before - after >= least.min(before), "too little");
                        prop_assert!(before - after <= price, "too much");
                    }
                }
                let now = setup.now.load(Ordering::Relaxed);
                let debt = runtime.block_on(setup.debt(charge(0)));
                let least = owed(live.iter().map(|(charge, _)| charge), &quota, now);
                prop_assert!(debt >= least, "{debt} of {least} ns are owed");
            }
            Ok(())
        },
    );
    if let Err(failure) = run {
        panic!("{failure}");
    }
}
