use std::sync::Mutex;

use pm_core::ManualTime;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

type Told = Arc<Mutex<Vec<Option<String>>>>;

fn builder() -> (EmergencyBuilder, ManualTime, Told) {
    let (clock, time) = Clock::manual();
    let told = Told::default();
    let builder = Emergency::builder()
        .profile("storm", Profile::scale(1, 5))
        .profile("flood", Profile::scale(1, 50))
        .on_change({
            let told = Arc::clone(&told);
            move |declared| {
                let profile = declared.map(|declared| declared.profile.to_string());
                told.lock().expect("sound").push(profile);
            }
        })
        .clock(clock);
    (builder, time, told)
}

fn told(told: &Told) -> Vec<String> {
    let told = std::mem::take(&mut *told.lock().expect("sound"));
    told.into_iter()
        .map(|profile| profile.unwrap_or_else(|| "over".into()))
        .collect()
}

fn enter(emergency: &Emergency, profile: &str) -> Declared {
    (emergency.enter(profile, MINUTE, "ada", "a test")).expect("it is there")
}

#[test]
fn it_is_declared_by_name_by_somebody_for_a_reason_and_for_a_while() {
    let (builder, time, log) = builder();
    let emergency = builder.build().expect("valid");
    assert_eq!(emergency.state(), None);
    let declared = enter(&emergency, "storm");
    assert_eq!(emergency.state(), Some(declared.clone()));
    assert_eq!(&*declared.profile, "storm");
    assert_eq!((&*declared.by, &*declared.because), ("ada", "a test"));
    assert_eq!(declared.cause, Cause::Manual);
    assert_eq!(declared.until_micros - declared.since_micros, 60_000_000);

    time.advance(MINUTE / 2);
    assert_eq!(emergency.leave("bob"), Some(declared));
    assert_eq!(emergency.leave("bob"), None);
    assert_eq!(emergency.state(), None);
    assert_eq!(told(&log), ["storm", "over"]);
}

#[test]
fn a_name_that_nobody_has_changes_nothing() {
    let (builder, _, log) = builder();
    let emergency = builder.build().expect("valid");
    let declared = enter(&emergency, "storm");
    let error = emergency.enter("drizzle", MINUTE, "ada", "");
    assert_eq!(error, Err(UnknownProfile(())));
    assert_eq!(emergency.state(), Some(declared));
    assert_eq!(told(&log), ["storm"]);
}

#[test]
fn another_one_takes_its_place_and_the_first_does_not_end_it() {
    let (builder, time, log) = builder();
    let emergency = builder.build().expect("valid");
    enter(&emergency, "storm");
    time.advance(MINUTE / 2);
    let flood = enter(&emergency, "flood");
    time.advance(MINUTE / 2);
    assert_eq!(emergency.state(), Some(flood));
    time.advance(MINUTE / 2);
    assert_eq!(emergency.state(), None);
    assert_eq!(told(&log), ["storm", "flood", "over"]);
}

#[test]
fn it_ends_by_itself_at_its_time_and_whoever_looks_first_tells_it() {
    let (builder, time, log) = builder();
    let emergency = builder.build().expect("valid");
    enter(&emergency, "storm");
    time.advance(MINUTE - Duration::from_nanos(1));
    assert_eq!(emergency.in_force(), Some(0));
    time.advance(Duration::from_nanos(1));
    assert_eq!(told(&log), ["storm"]);
    assert_eq!(emergency.in_force(), None, "as a decision sees it");
    assert_eq!(told(&log), ["over"]);
    assert_eq!(emergency.in_force(), None);
    emergency.look();
    assert!(told(&log).is_empty(), "once");
}

#[test]
fn a_hook_may_itself_declare_and_leave_and_all_is_told_in_order() {
    let (builder, time, log) = builder();
    let handle: Arc<Mutex<Option<Emergency>>> = Arc::default();
    let builder = builder.on_change({
        let handle = Arc::clone(&handle);
        move |declared| {
            let emergency = handle.lock().expect("sound").clone().expect("it is built");
            match declared.map(|declared| &*declared.profile) {
                Some("storm") => drop(enter(&emergency, "flood")),
                Some(_) => drop(emergency.leave("the hook")),
                None => {}
            }
        }
    });
    let emergency = builder.build().expect("valid");
    *handle.lock().expect("sound") = Some(emergency.clone());
    enter(&emergency, "storm");
    assert_eq!(told(&log), ["storm", "flood", "over"]);
    assert_eq!(emergency.state(), None);
    time.advance(MINUTE);
    assert!(told(&log).is_empty());
}

#[test]
fn a_hook_that_panics_does_not_silence_the_next_change() {
    let (builder, _, log) = builder();
    let builder = builder.on_change(|declared| assert!(declared.is_none(), "as it is wanted"));
    let emergency = builder.build().expect("valid");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        enter(&emergency, "storm");
    }));
    assert!(panicked.is_err());
    assert!(emergency.leave("ada").is_some());
    assert_eq!(told(&log), ["storm", "over"]);
}

/// What is told last is how it is.
#[test]
fn many_who_change_it_at_the_same_time_are_told_of_in_order() {
    let (builder, _, log) = builder();
    let emergency = builder.build().expect("valid");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    enter(&emergency, "storm");
                    emergency.leave("ada");
                }
            });
        }
    });
    let told = told(&log);
    let entered = told.iter().filter(|told| *told == "storm").count();
    assert_eq!(entered, 600);
    assert_eq!(told.last().map(String::as_str), Some("over"));
    assert_eq!(emergency.state(), None);
}

fn automatic(reading: &Arc<Mutex<f64>>) -> Automatic {
    let levels = Hysteresis {
        enter_above: 0.9,
        enter_after: Duration::from_secs(3),
        leave_below: 0.5,
        leave_after: Duration::from_secs(5),
    };
    let reading = Arc::clone(reading);
    Automatic::new("flood", levels, move || *reading.lock().expect("sound"))
        .lasting(Duration::from_secs(20))
}

/// An emergency with a reading, and what takes so many of them at a level: in which seconds something
/// is in force, from the beginning.
fn with_reading() -> (Emergency, impl FnMut(f64, u64) -> String, Told) {
    let (builder, time, told) = builder();
    let reading = Arc::new(Mutex::new(0.0));
    let builder = builder.automatic(automatic(&reading));
    let emergency = builder.build().expect("valid");
    let looking = emergency.clone();
    let pass = move |level: f64, seconds: u64| {
        *reading.lock().expect("sound") = level;
        (0..seconds)
            .map(|_| {
                looking.look();
                let state = looking.state();
                time.advance(Duration::from_secs(1));
                match state.map(|declared| declared.cause) {
                    None => '.',
                    Some(Cause::Automatic) => 'A',
                    Some(Cause::Manual) => 'M',
                }
            })
            .collect()
    };
    (emergency, pass, told)
}

#[test]
fn a_reading_enters_and_leaves_with_hysteresis() {
    let (emergency, mut pass, log) = with_reading();
    assert_eq!(pass(0.95, 5), "...AA");
    let declared = emergency.state().expect("it is in force");
    assert_eq!((&*declared.profile, &*declared.by), ("flood", "automatic"));
    assert_eq!(pass(0.7, 8), "AAAAAAAA", "between the levels");
    assert_eq!(pass(0.4, 4), "AAAA");
    assert_eq!(pass(0.6, 1), "A", "a break begins anew");
    assert_eq!(pass(0.4, 7), "AAAAA..");
    assert_eq!(pass(0.7, 9), ".........");
    let told = told(&log);
    assert_eq!(told.first().map(String::as_str), Some("flood"));
    assert_eq!(told.last().map(String::as_str), Some("over"));
}

#[test]
fn it_is_prolonged_while_the_reading_is_taken_and_ends_by_itself_when_it_is_not() {
    let (emergency, mut pass, _) = with_reading();
    assert_eq!(pass(1.0, 300), format!("...{}", "A".repeat(297)));
    assert_eq!(pass(0.7, 300), "A".repeat(300));
    let declared = emergency.state().expect("it is in force");
    let lasted = Duration::from_micros((declared.until_micros - declared.since_micros) as u64);
    assert!(lasted >= Duration::from_secs(597), "{lasted:?}");

    let (builder, time, log) = builder();
    let builder = builder.automatic(automatic(&Arc::new(Mutex::new(1.0))));
    let emergency = builder.build().expect("valid");
    for _ in 0..4 {
        emergency.look();
        time.advance(Duration::from_secs(1));
    }
    assert!(emergency.state().is_some());
    time.advance(Duration::from_secs(19));
    assert_eq!(emergency.in_force(), None, "nobody looks any longer");
    assert_eq!(told(&log), ["flood", "over"]);
}

#[test]
fn what_somebody_declares_and_leaves_counts_more_than_a_reading() {
    let (emergency, mut pass, _) = with_reading();
    enter(&emergency, "storm");
    assert_eq!(pass(1.0, 10), "MMMMMMMMMM");
    assert_eq!(pass(0.1, 10), "MMMMMMMMMM", "a low reading does not end it");
    emergency.leave("ada");
    assert_eq!(pass(1.0, 5), "...AA");
    emergency.leave("ada");
    assert_eq!(
        pass(1.0, 30),
        ".".repeat(30),
        "until the reading has been low"
    );
    assert_eq!(pass(0.1, 6), "......");
    assert_eq!(pass(1.0, 5), "...AA");
    enter(&emergency, "storm");
    assert_eq!(&*emergency.state().expect("it is").profile, "storm");
    assert_eq!(pass(0.1, 61), format!("{}.", "M".repeat(60)));
}

#[test]
fn what_cannot_be_is_refused_by_profile_and_field() {
    let levels = |enter_above, leave_below| Hysteresis {
        enter_above,
        enter_after: MINUTE,
        leave_below,
        leave_after: MINUTE,
    };
    let automatic = |name, levels| Automatic::new(name, levels, || 0.0);
    let storm = || Emergency::builder().profile("storm", Profile::new());
    let times = |text: &str| Reduction::Times(text.parse().expect(text));
    let only_search = crate::Rule::on("/search").quota(crate::Quota::per_second(1));
    for (builder, profile, field) in [
        (storm().profile("storm", Profile::new()), "storm", "name"),
        (storm().profile("", Profile::new()), "", "name"),
        (storm().profile("é", Profile::new()), "é", "name"),
        (
            storm().profile("a", Profile::new().rule("x", times("2"))),
            "a",
            "rules",
        ),
        (
            storm().profile("a", Profile::new().rule("x", times("0/3"))),
            "a",
            "rules",
        ),
        (
            storm().profile("a", Profile::new().extra("x", only_search)),
            "a",
            "extra",
        ),
        (
            storm().automatic(automatic("storm", levels(0.5, 0.6))),
            "storm",
            "automatic",
        ),
        (
            storm().automatic(automatic("storm", levels(0.5, f64::NAN))),
            "storm",
            "automatic",
        ),
        (
            storm().automatic(automatic("other", levels(0.5, 0.4))),
            "other",
            "automatic",
        ),
        (
            storm().automatic(automatic("storm", levels(0.5, 0.4)).lasting(Duration::ZERO)),
            "storm",
            "automatic",
        ),
    ] {
        let error = builder.build().expect_err(field);
        assert_eq!(
            (error.profile(), error.field()),
            (profile, field),
            "{error}"
        );
    }
    let many = (0..65).map(|number| (format!("profile {number}"), Profile::new()));
    let error = Emergency::builder().profiles(many).build().expect_err("65");
    assert_eq!(error.field(), "name");
}

#[test]
#[should_panic(expected = "write a part of the whole, such as Profile::scale(1, 5)")]
fn a_profile_does_not_give_more() {
    let _ = Profile::scale(6, 5);
}

#[tokio::test]
async fn run_tells_in_time_that_it_is_over() {
    let (builder, time, log) = builder();
    let emergency = builder.build().expect("valid");
    enter(&emergency, "storm");
    let running = tokio::spawn(emergency.clone().run());
    tokio::task::yield_now().await;
    time.advance(MINUTE);
    while log.lock().expect("sound").len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&log), ["storm", "over"]);
    running.abort();
}
