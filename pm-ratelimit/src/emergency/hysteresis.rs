use std::time::Duration;

use pm_core::Tick;

/// When a reading is an emergency, and when it no longer is.
///
/// Between the two levels nothing changes: that, and the times, keep a reading that wavers from
/// entering and leaving again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hysteresis {
    /// Entered when the reading is above this level ...
    pub enter_above: f64,
    /// ... for so long, without a break.
    pub enter_after: Duration,
    /// Left when the reading is below this level, which is no higher than the other ...
    pub leave_below: f64,
    /// ... for so long, without a break.
    pub leave_after: Duration,
}

/// Follows a reading.
#[derive(Debug, Default)]
pub(super) struct Watch {
    high_since: Option<Tick>,
    low_since: Option<Tick>,
    is_low: bool,
    /// Somebody has left an emergency: none is entered until the reading has been low.
    held_off: bool,
}

/// What a reading means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Enter,
    Leave,
    Stay,
}

impl Hysteresis {
    pub(super) fn is_valid(&self) -> bool {
        // Neither is true of what is not a number.
        self.leave_below <= self.enter_above
    }
}

impl Watch {
    /// A reading that is not a number is neither high nor low.
    pub(super) fn note(&mut self, levels: &Hysteresis, reading: f64, now: Tick) -> Signal {
        let lasts = |since: &mut Option<Tick>, is_so: bool, after: Duration| {
            if !is_so {
                *since = None;
                return false;
            }
            now.saturating_duration_since(*since.get_or_insert(now)) >= after
        };
        let high = reading > levels.enter_above;
        let low = reading < levels.leave_below;
        let high = lasts(&mut self.high_since, high, levels.enter_after);
        let low = lasts(&mut self.low_since, low, levels.leave_after);
        self.is_low = low;
        if low {
            self.held_off = false;
            return Signal::Leave;
        }
        if high && !self.held_off {
            return Signal::Enter;
        }
        Signal::Stay
    }

    pub(super) const fn hold_off(&mut self) {
        self.held_off = !self.is_low;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Hysteresis = Hysteresis {
        enter_above: 0.9,
        enter_after: Duration::from_secs(3),
        leave_below: 0.5,
        leave_after: Duration::from_secs(4),
    };

    /// One reading a second; `E`nter, `L`eave or stay (`.`) for each.
    fn signals(watch: &mut Watch, from: u64, readings: &[f64]) -> String {
        let ticks = (from..).map(|second| Tick::ZERO + Duration::from_secs(second));
        let signals = ticks.zip(readings);
        signals
            .map(|(now, reading)| match watch.note(&LEVELS, *reading, now) {
                Signal::Enter => 'E',
                Signal::Leave => 'L',
                Signal::Stay => '.',
            })
            .collect()
    }

    #[test]
    fn it_takes_the_level_and_the_time() {
        let mut watch = Watch::default();
        let high = [1.0; 5];
        assert_eq!(signals(&mut watch, 0, &high), "...EE");
        assert_eq!(signals(&mut watch, 5, &[0.4; 6]), "....LL");
        assert_eq!(signals(&mut watch, 11, &[0.9, 0.5, 0.7]), "...");
    }

    #[test]
    fn a_break_begins_anew() {
        let mut watch = Watch::default();
        assert_eq!(
            signals(&mut watch, 0, &[1.0, 1.0, 1.0, 0.9, 1.0, 1.0, 1.0]),
            "......."
        );
        let low = [0.1, 0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1];
        assert_eq!(signals(&mut watch, 7, &low), ".........L");
    }

    #[test]
    fn what_is_not_a_number_is_neither() {
        let mut watch = Watch::default();
        assert_eq!(
            signals(&mut watch, 0, &[1.0, 1.0, 1.0, f64::NAN, 1.0]),
            "....."
        );
        assert_eq!(signals(&mut watch, 5, &[f64::NAN; 9]), ".........");
        assert!(
            !Hysteresis {
                enter_above: f64::NAN,
                ..LEVELS
            }
            .is_valid()
        );
        assert!(
            !Hysteresis {
                leave_below: 1.0,
                ..LEVELS
            }
            .is_valid()
        );
    }

    #[test]
    fn whoever_leaves_by_hand_is_believed_until_it_has_calmed_down() {
        let mut watch = Watch::default();
        assert_eq!(signals(&mut watch, 0, &[1.0; 4]), "...E");
        watch.hold_off();
        assert_eq!(signals(&mut watch, 4, &[1.0; 9]), ".........");
        assert_eq!(signals(&mut watch, 13, &[0.1; 5]), "....L");
        assert_eq!(signals(&mut watch, 18, &[1.0; 4]), "...E");
    }
}
