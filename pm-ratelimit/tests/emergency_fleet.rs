//! Emergencies on several instances that share a store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Clock, ManualTime};
use pm_ratelimit::emergency::{Automatic, Emergency, EmergencyStore, Hysteresis, Profile, Word};
use pm_ratelimit::{Error, guard};
use pm_testing::drive;

const HOUR: Duration = Duration::from_secs(3_600);

/// A store that can be down, and can lose what it holds.
#[derive(Debug, Default)]
struct Store {
    kept: Mutex<Arc<guard::MemoryStore>>,
    down: AtomicBool,
}

#[async_trait]
impl EmergencyStore for Store {
    async fn exchange(self: Arc<Self>, known: Option<Word>) -> Result<Option<Word>, Error> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::TimedOut);
        }
        let kept = Arc::clone(&self.kept.lock().expect("sound"));
        kept.exchange(known).await
    }
}

struct Fleet {
    store: Arc<Store>,
    instances: Vec<Emergency>,
    reading: Arc<Mutex<f64>>,
    time: ManualTime,
}

/// The first of them takes a reading, too.
fn fleet() -> Fleet {
    let (clock, time) = Clock::manual();
    let store = Arc::new(Store::default());
    let reading = Arc::new(Mutex::new(0.0));
    let instances = (0..3).map(|number| {
        let builder = Emergency::builder()
            .profile("storm", Profile::scale(1, 5))
            .store(store.clone())
            .clock(clock.clone());
        let levels = Hysteresis {
            enter_above: 0.9,
            enter_after: Duration::ZERO,
            leave_below: 0.5,
            leave_after: Duration::ZERO,
        };
        let taken = Arc::clone(&reading);
        let builder = match number {
            0 => builder.automatic(Automatic::new("storm", levels, move || {
                *taken.lock().expect("sound")
            })),
            _ => builder.profile("of one instance", Profile::new()),
        };
        builder.build().expect("valid")
    });
    Fleet {
        instances: instances.collect(),
        store,
        reading,
        time,
    }
}

impl Fleet {
    /// Each asks the store, twice, so that what one tells reaches those before it.
    fn synchronize(&self) {
        for instance in self.instances.iter().chain(&self.instances) {
            instance.look();
            let _ = drive(instance.synchronize());
        }
    }

    /// Who has declared what is in force on each.
    fn declared(&self) -> Vec<Option<String>> {
        let declared = self.instances.iter().map(Emergency::state);
        declared
            .map(|declared| {
                declared.map(|declared| format!("{} {}", declared.by, declared.because))
            })
            .collect()
    }

    fn all(&self, expected: Option<&str>) {
        assert_eq!(self.declared(), vec![expected.map(ToOwned::to_owned); 3]);
    }

    fn enter(&self, instance: usize, because: &str) {
        let declared = self.instances[instance].enter("storm", HOUR, "ada", because);
        declared.expect("it is there");
    }
}

#[test]
fn what_is_said_on_one_instance_is_so_on_all() {
    let fleet = fleet();
    fleet.synchronize();
    fleet.all(None);
    fleet.enter(1, "bots");
    fleet.synchronize();
    fleet.all(Some("ada bots"));
    let until = |number: usize| {
        fleet.instances[number]
            .state()
            .map(|state| state.until_micros)
    };
    assert_eq!((until(0), until(2)), (until(1), until(1)));
    fleet.enter(2, "more bots");
    fleet.synchronize();
    fleet.all(Some("ada more bots"));
    assert!(fleet.instances[0].leave("bob").is_some());
    fleet.synchronize();
    fleet.all(None);
}

#[test]
fn it_ends_on_all_at_its_time_without_a_word() {
    let fleet = fleet();
    fleet.enter(0, "bots");
    fleet.time.advance(HOUR / 2);
    fleet.synchronize();
    fleet.all(Some("ada bots"));
    fleet.store.down.store(true, Ordering::Relaxed);
    fleet.time.advance(HOUR / 2);
    fleet.all(None);
    fleet.store.down.store(false, Ordering::Relaxed);
    fleet.synchronize();
    fleet.all(None);
}

#[test]
fn while_the_store_is_down_what_is_said_counts_where_it_is_said() {
    let fleet = fleet();
    fleet.store.down.store(true, Ordering::Relaxed);
    fleet.enter(0, "bots");
    fleet.synchronize();
    let declared = fleet.declared();
    assert_eq!(declared, [Some("ada bots".to_owned()), None, None]);
    fleet.store.down.store(false, Ordering::Relaxed);
    fleet.synchronize();
    fleet.all(Some("ada bots"));
}

#[test]
fn a_store_that_has_lost_the_word_is_given_it_back() {
    let fleet = fleet();
    fleet.enter(0, "bots");
    fleet.synchronize();
    *fleet.store.kept.lock().expect("sound") = Arc::default();
    fleet.synchronize();
    fleet.all(Some("ada bots"));
    let stands = drive(fleet.store.clone().exchange(None)).expect("it is up");
    assert_eq!(&*stands.expect("it is there").by, "ada");
}

/// Also with a clock that is behind.
#[test]
fn whoever_has_heard_a_word_has_the_last_one() {
    let fleet = fleet();
    fleet.enter(0, "bots");
    fleet.synchronize();
    let past = std::time::SystemTime::UNIX_EPOCH;
    fleet.time.set_wall(past + Duration::from_secs(1_000));
    assert!(fleet.instances[2].leave("bob").is_some());
    fleet.synchronize();
    fleet.all(None);
}

#[test]
fn to_leave_where_it_has_not_been_heard_ends_it_everywhere() {
    let fleet = fleet();
    fleet.enter(0, "bots");
    drive(fleet.instances[0].synchronize()).expect("it is up");
    fleet.time.advance(Duration::from_millis(1));
    assert_eq!(fleet.instances[1].leave("bob"), None);
    fleet.synchronize();
    fleet.all(None);
}

#[test]
fn what_a_reading_declares_is_about_its_instance_and_somebody_ends_it_from_any() {
    let fleet = fleet();
    *fleet.reading.lock().expect("sound") = 1.0;
    fleet.synchronize();
    let of_one = [Some("automatic the reading is high".to_owned()), None, None];
    assert_eq!(fleet.declared(), of_one);
    fleet.time.advance(Duration::from_secs(1));
    fleet.instances[1].leave("ada");
    fleet.synchronize();
    fleet.all(None);
    fleet.time.advance(Duration::from_secs(1));
    fleet.synchronize();
    fleet.all(None);
    *fleet.reading.lock().expect("sound") = 0.0;
    fleet.synchronize();
    *fleet.reading.lock().expect("sound") = 1.0;
    fleet.synchronize();
    assert_eq!(fleet.declared(), of_one, "it was low in between");
}

#[test]
fn what_was_left_before_an_instance_started_holds_off_none_of_its_readings() {
    let fleet = fleet();
    fleet.instances[1].leave("ada");
    drive(fleet.instances[1].synchronize()).expect("it is up");
    fleet.time.advance(HOUR);
    *fleet.reading.lock().expect("sound") = 1.0;
    drive(fleet.instances[0].synchronize()).expect("it is up");
    fleet.instances[0].look();
    let declared = fleet.declared();
    assert_eq!(
        declared[0].as_deref(),
        Some("automatic the reading is high")
    );
}

#[test]
fn a_profile_that_an_instance_does_not_have_changes_nothing_there() {
    let fleet = fleet();
    let lasting = fleet.instances[1].enter("of one instance", HOUR, "ada", "");
    lasting.expect("it is there");
    fleet.synchronize();
    let known = fleet.declared();
    assert_eq!(known[0], None);
    assert_eq!(known[1], known[2]);
    assert!(known[1].is_some());
}
