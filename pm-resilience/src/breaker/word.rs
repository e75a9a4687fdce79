use super::State;

/// Where a breaker stands, in 64 bits.
///
/// ```text
/// 63 ────── 24     22       21      20     18 ─ 16   15 ──────────────── 0
///  generation    first   windowed  timed   state     failures in a row, or
///                                                    passed │ in flight (8 bits each)
/// ```
///
/// The lower bits are failures in a row while closed, and probes while half open. Closed without a
/// failure, and with nothing to watch but failures in a row, the word is the generation and zeros:
/// one comparison tells that a success changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(u64);

/// What calls are watched for besides failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// Whether there is a window, and whether it is the first.
    pub(super) window: Option<bool>,
    /// Whether they have to be timed from their beginning, for that window.
    pub(super) timed: bool,
}

const STATE: u32 = 16;
const TIMED: u64 = 1 << 20;
const WINDOWED: u64 = 1 << 21;
const FIRST: u64 = 1 << 22;
const WATCHED: u64 = TIMED | WINDOWED | FIRST;
const GENERATION: u32 = 24;
const COUNT: u64 = (1 << STATE) - 1;
const PASSED: u32 = 8;
const IN_FLIGHT: u64 = (1 << PASSED) - 1;

impl Word {
    pub(super) const fn new(state: State) -> Self {
        Self((state as u64) << STATE)
    }

    #[inline]
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    /// One more with each transition.
    #[inline]
    pub(super) const fn generation(self) -> u64 {
        self.0 >> GENERATION
    }

    #[inline]
    pub(super) const fn state(self) -> State {
        match (self.0 >> STATE) & 0b111 {
            0 => State::Closed,
            1 => State::Open,
            2 => State::HalfOpen,
            3 => State::ForcedOpen,
            4 => State::ForcedClosed,
            _ => State::Disabled,
        }
    }

    /// Whether a success of this generation changes nothing.
    #[inline]
    pub(super) const fn is_quiet(self, generation: u64) -> bool {
        self.0 == generation << GENERATION
    }

    /// Whether a call has to be timed from its beginning.
    #[inline]
    pub(super) const fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    /// Whether results are remembered in a window.
    #[inline]
    pub(super) const fn is_windowed(self) -> bool {
        self.0 & WINDOWED != 0
    }

    /// Whether that window is the one that the breaker was made with.
    #[inline]
    pub(super) const fn is_first(self) -> bool {
        self.0 & FIRST != 0
    }

    /// Failures in a row, while closed.
    #[inline]
    pub(super) const fn failures(self) -> u16 {
        (self.0 & COUNT) as u16
    }

    pub(super) const fn with_failures(self, failures: u16) -> Self {
        Self((self.0 & !COUNT) | failures as u64)
    }

    /// Probes that were let in and have not ended, while half open.
    pub(super) const fn in_flight(self) -> u8 {
        (self.0 & IN_FLIGHT) as u8
    }

    /// Probes that have succeeded, while half open.
    pub(super) const fn passed(self) -> u8 {
        ((self.0 & COUNT) >> PASSED) as u8
    }

    pub(super) const fn with_probes(self, in_flight: u8, passed: u8) -> Self {
        Self((self.0 & !COUNT) | (passed as u64) << PASSED | in_flight as u64)
    }

    /// The first word of the next generation.
    pub(super) const fn turned(self, to: State) -> Self {
        let generation = self.generation().wrapping_add(1) << GENERATION;
        Self(generation | (to as u64) << STATE | self.0 & WATCHED)
    }

    pub(super) const fn watching(self, watched: Watched) -> Self {
        let bits = match watched {
            Watched { window: None, .. } => 0,
            Watched {
                window: Some(first),
                timed,
            } => WINDOWED | (if first { FIRST } else { 0 }) | (if timed { TIMED } else { 0 }),
        };
        Self(self.0 & !WATCHED | bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] = [
        State::Closed,
        State::Open,
        State::HalfOpen,
        State::ForcedOpen,
        State::ForcedClosed,
        State::Disabled,
    ];

    const TIMED_TOO: Watched = Watched {
        window: Some(true),
        timed: true,
    };
    const WINDOW: Watched = Watched {
        window: Some(false),
        timed: false,
    };

    #[test]
    fn the_parts_do_not_touch_each_other() {
        for state in STATES {
            let word = Word::new(State::Closed).watching(TIMED_TOO).turned(state);
            let probed = word.with_probes(255, 254);
            assert_eq!((probed.in_flight(), probed.passed()), (255, 254));
            let counted = probed.with_failures(u16::MAX);
            assert_eq!(counted.failures(), u16::MAX);
            assert_eq!((counted.state(), counted.generation()), (state, 1));
            assert!(counted.is_timed() && counted.is_windowed() && counted.is_first());
            let other = counted.watching(WINDOW);
            assert!(!other.is_timed() && other.is_windowed() && !other.is_first());
            let next = other.turned(State::Closed);
            assert_eq!((next.generation(), next.failures()), (2, 0));
            assert!(next.is_windowed());
        }
    }

    #[test]
    fn only_a_closed_word_without_anything_to_watch_is_quiet() {
        let quiet = Word::new(State::HalfOpen).turned(State::Closed);
        assert!(quiet.is_quiet(1));
        assert!(!quiet.is_quiet(0));
        assert!(!quiet.with_failures(1).is_quiet(1));
        assert!(!quiet.watching(TIMED_TOO).is_quiet(1));
        assert!(!quiet.watching(WINDOW).is_quiet(1));
        assert!(
            STATES[1..]
                .iter()
                .all(|state| !Word::new(*state).is_quiet(0))
        );
    }

    #[test]
    fn generations_wrap_within_their_bits() {
        let last = Word::from_bits(u64::MAX);
        assert_eq!(last.turned(State::Open).generation(), 0);
    }
}
