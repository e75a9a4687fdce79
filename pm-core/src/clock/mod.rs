//! Time as a value that is handed in.
//!
//! Logic never asks the machine for the time; it takes a [`Clock`]. In a program that is
//! [`Clock::system`], in a test it is [`Clock::manual`], whose time stands still until the test
//! moves it:
//!
//! ```
//! use std::time::Duration;
//! use pm_core::Clock;
//!
//! let (clock, time) = Clock::manual();
//! let before = clock.now();
//! time.advance(Duration::from_secs(90));
//! assert_eq!(clock.now(), before + Duration::from_secs(90));
//! ```

#[cfg(feature = "counter")]
mod counter;
mod manual;
#[cfg(feature = "tokio")]
mod sleep;
mod tick;
mod uuid_v7;
#[cfg(feature = "tokio")]
mod within;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(feature = "counter")]
use self::counter::Counter;
use self::manual::Manual;

pub use self::manual::ManualTime;
#[cfg(feature = "tokio")]
pub use self::sleep::Sleep;
pub use self::tick::Tick;
#[cfg(feature = "tokio")]
pub use self::within::{Elapsed, Within};

/// A source of monotonic time and of wall time: a handle that is cheap to clone.
///
/// Use [`now`](Self::now) for everything that is measured or waited for, and
/// [`wall`](Self::wall) only for what is shown or sent to others: the wall clock may be set back
/// or forth at any time.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    #[cfg(feature = "counter")]
    Counter(&'static Counter),
    System,
    Manual(Arc<Manual>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The processor's own counter where it runs evenly, the machine's clock elsewhere: a reading takes
    /// a third of the time, and keeps nothing else waiting. For what reads it millions of times a
    /// second.
    ///
    /// Its ticks begin with those of [`system`](Self::system), and are as long to within some
    /// millionths; nobody corrects that later, so the two are up to a second apart after some days.
    /// Do not compare ticks of one with those of the other, and expect the readings of two
    /// processors to be some nanoseconds apart. Wall time and timers are the machine's.
    ///
    /// The first call in a process compares the two: it blocks for 10 to 20 ms, at most 200.
    #[cfg(feature = "counter")]
    #[must_use]
    pub fn counter() -> Self {
        Self(Source::Counter(Counter::shared()))
    }

    /// A clock that stands still, and the handle that moves it.
    ///
    /// It starts at [`Tick::ZERO`], with the wall clock at 2026-01-01T00:00:00Z.
    #[must_use]
    pub fn manual() -> (Self, ManualTime) {
        let time = Arc::new(Manual::new());
        (
            Self(Source::Manual(Arc::clone(&time))),
            ManualTime::new(time),
        )
    }

    /// The current moment. It never goes back.
    #[inline]
    #[must_use]
    pub fn now(&self) -> Tick {
        match &self.0 {
            #[cfg(feature = "counter")]
            Source::Counter(counter) => counter.now(),
            Source::System => system_now(),
            Source::Manual(time) => time.now(),
        }
    }

    /// The time of day. It may jump, in both directions.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            #[cfg(feature = "counter")]
            Source::Counter(_) => machine::wall(),
            Source::System => machine::wall(),
            Source::Manual(time) => time.wall(),
        }
    }

    /// The time of day in microseconds since 1970-01-01T00:00:00Z, negative before it.
    #[must_use]
    pub fn wall_micros(&self) -> i64 {
        match self.wall().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => {
                i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros)
            }
        }
    }

    /// A version 7 UUID (RFC 9562) with the time of this clock's [`wall`](Self::wall).
    ///
    /// Unique across processes, and ordered by time to about a quarter of a microsecond. It is an
    /// identifier, not a secret: do not hand it out as a token.
    #[cfg(feature = "uuid")]
    #[must_use]
    pub fn uuid_v7(&self) -> uuid::Uuid {
        uuid::Uuid::from_u128(self.uuid_v7_bits())
    }

    pub(crate) fn uuid_v7_bits(&self) -> u128 {
        uuid_v7::bits(self.wall())
    }

    /// Waits until this clock reaches `deadline`; at once if it already has.
    ///
    /// The system clock's timer is tokio's and has its resolution of one millisecond: it never
    /// fires early. Dropping the future forgets the deadline.
    ///
    /// # Panics
    ///
    /// With the system clock, when called or polled outside a tokio runtime with its timer on.
    #[cfg(feature = "tokio")]
    pub fn sleep_until(&self, deadline: Tick) -> Sleep {
        match &self.0 {
            #[cfg(feature = "counter")]
            Source::Counter(counter) => {
                let left = deadline.saturating_duration_since(counter.now());
                let deadline = system_now().as_nanos().saturating_add(nanos(left));
                Sleep::system(machine::origin(), Tick::from_nanos(deadline))
            }
            Source::System => Sleep::system(machine::origin(), deadline),
            Source::Manual(time) => Sleep::manual(Arc::clone(time), deadline),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            #[cfg(feature = "counter")]
            Source::Counter(_) => f.write_str("Clock(counter)"),
            Source::System => f.write_str("Clock(system)"),
            Source::Manual(time) => write!(f, "Clock(manual at {})", time.now()),
        }
    }
}

fn system_now() -> Tick {
    Tick::from_nanos(nanos(machine::origin().elapsed()))
}

/// Unlike `Duration::as_nanos`, without 128-bit arithmetic: this is on the path of every decision.
fn nanos(elapsed: Duration) -> u64 {
    elapsed
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(elapsed.subsec_nanos()))
}

/// The one place in the family that asks the machine for the time.
#[allow(
    clippy::disallowed_methods,
    reason = "this is the clock that everything else is handed"
)]
mod machine {
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime};

    /// One origin per process, so that the ticks of any two system clocks compare.
    pub(super) fn origin() -> Instant {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        *ORIGIN.get_or_init(Instant::now)
    }

    pub(super) fn wall() -> SystemTime {
        SystemTime::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clocks_share_an_origin_and_never_go_back() {
        let (a, b) = (Clock::system(), Clock::system());
        let first = a.now();
        let second = b.now();
        let third = a.now();
        assert!(first <= second && second <= third);
    }

    #[cfg(feature = "counter")]
    #[test]
    fn the_counter_goes_as_fast_as_the_system_and_never_goes_back() {
        let (counter, system) = (Clock::counter(), Clock::system());
        assert_eq!(format!("{counter:?}"), "Clock(counter)");
        let mut last = counter.now();
        for _ in 0..200_000 {
            let (before, now, after) = (system.now(), counter.now(), system.now());
            assert!(now >= last);
            last = now;
            // What the comparison at the start was off by, and what has run since.
            let slack = Duration::from_millis(2);
            assert!(before.saturating_duration_since(now) < slack);
            assert!(now.saturating_duration_since(after) < slack);
        }
    }

    #[test]
    fn the_wall_clock_counts_microseconds_since_the_epoch() {
        let (clock, time) = Clock::manual();
        assert_eq!(clock.wall_micros(), 1_767_225_600_000_000);
        time.advance(Duration::from_nanos(1_999));
        assert_eq!(clock.wall_micros(), 1_767_225_600_000_001);
        assert!(Clock::system().wall_micros() > 1_767_225_600_000_000);
    }

    #[test]
    fn the_wall_clock_can_be_set_and_the_monotonic_one_cannot() {
        let (clock, time) = Clock::manual();
        time.advance(Duration::from_secs(10));
        time.set_wall(UNIX_EPOCH + Duration::from_secs(100));
        assert_eq!(clock.now(), Tick::ZERO + Duration::from_secs(10));
        assert_eq!(clock.wall_micros(), 100_000_000);
        time.advance(Duration::from_secs(1));
        assert_eq!(clock.wall_micros(), 101_000_000);
    }

    #[test]
    fn debug_says_which_clock_it_is() {
        let (clock, time) = Clock::manual();
        time.advance(Duration::from_millis(1500));
        assert_eq!(format!("{clock:?}"), "Clock(manual at 1.5s)");
        assert_eq!(format!("{:?}", Clock::system()), "Clock(system)");
    }
}
