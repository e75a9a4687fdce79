use std::borrow::Borrow;
use std::fmt;

use super::Breaker;
use super::pass::Pass;
use super::word::Word;
use crate::{Classify, Outcome, Rejection};

/// Leave to make one call, and the way to say how it ended.
///
/// `B` is how it holds its breaker: [`Breaker::try_acquire`] lends it, which costs nothing, and
/// [`Breaker::try_acquire_owned`] gives it a handle of its own.
///
/// **Dropped** unsettled, because its call was cut off or panicked, it says that the call failed and
/// was slow if it began as long ago as the threshold of slow calls says or, if those are not watched,
/// the lease of a probe: a caller with a time-out of its own does not hide that nothing answers.
/// Before that it says nothing: no failure, no success, and the place of a probe is free again. When
/// a call began is known if slow calls are watched, if it is a probe, and otherwise from the first
/// [`waiting`](Self::waiting) on: a call that never waits reads no clock.
#[must_use = "a call whose end is not told counts for nothing, or as cut off"]
pub struct Permit<B: Borrow<Breaker> = Breaker> {
    breaker: B,
    pass: Pass,
}

impl<B: Borrow<Breaker>> Permit<B> {
    /// Leave for one call, from a breaker that is held in a way of your own.
    ///
    /// # Errors
    ///
    /// If the breaker is open, or half open with all of its probes under way.
    #[inline]
    pub fn try_acquire(breaker: B) -> Result<Self, Rejection> {
        let circuit = breaker.borrow().circuit();
        let word = circuit.word();
        // Two returns, so that this one does not pass through what the other one may hold: that is
        // half of what a call costs.
        if let Some(pass) = circuit.admit_closed(word) {
            return Ok(Self { breaker, pass });
        }
        Self::admit_or_reject(breaker, word)
    }

    #[cold]
    fn admit_or_reject(breaker: B, word: Word) -> Result<Self, Rejection> {
        let pass = breaker.borrow().circuit().admit_or_reject(word)?;
        Ok(Self { breaker, pass })
    }

    /// Says that the call has not ended at once, which is when its time begins to matter. To be
    /// called where its future is pending, or before whatever blocks; the first time counts.
    #[inline]
    pub fn waiting(&mut self) {
        self.pass
            .start(|| self.breaker.borrow().circuit().clock().now());
    }

    /// Says that its caller leaves the call less time than calls have. That it is cut off then says
    /// nothing about what was called, however long it took; a result still does, unless it is a
    /// [time-out](crate::Classify::is_timeout) of what was called.
    pub const fn curtail(&mut self) {
        self.pass.curtail();
    }

    /// How it holds its breaker.
    pub(super) const fn held(&self) -> &B {
        &self.breaker
    }

    pub(crate) const fn is_curtailed(&self) -> bool {
        self.pass.is_curtailed()
    }

    /// Its answer is there, and may be left unread: that it is dropped says nothing then.
    pub(super) const fn answered(&mut self) {
        self.pass.make_optional();
    }

    /// What a result says: nothing, if what was called gave up because the caller left it less time
    /// than calls have.
    #[inline]
    pub(crate) fn outcome<T, E>(
        &self,
        result: Result<&T, &E>,
        classify: &impl Classify<T, E>,
    ) -> Outcome {
        if self.is_curtailed() && classify.is_timeout(result) {
            return Outcome::Ignored;
        }
        classify.classify(result)
    }

    /// Says what the result of the call says. It counts unless the breaker has changed since; then
    /// that is [counted](super::BreakerStats::ignored), and changes nothing.
    #[inline]
    pub fn settle(mut self, outcome: Outcome) {
        let pass = self.pass.take();
        let circuit = self.breaker.borrow().circuit();
        match outcome {
            Outcome::Success => circuit.settle(&pass, false),
            Outcome::Failure | Outcome::Retryable { .. } => circuit.settle(&pass, true),
            Outcome::Ignored => circuit.settle_inconclusive(&pass),
        }
    }

    /// The time-out of the call has cut it off: a failure, and slow; nothing, if it was
    /// [curtailed](Self::curtail).
    pub fn timed_out(mut self) {
        let pass = self.pass.take();
        let circuit = self.breaker.borrow().circuit();
        if pass.is_curtailed() {
            circuit.settle_inconclusive(&pass);
        } else {
            circuit.settle_cut_off(&pass);
        }
    }

    /// The call says nothing, or was not made. The place of a probe is free again.
    pub fn ignore(mut self) {
        let pass = self.pass.take();
        self.breaker.borrow().circuit().settle_inconclusive(&pass);
    }
}

impl<B: Borrow<Breaker>> Drop for Permit<B> {
    #[inline]
    fn drop(&mut self) {
        if self.pass.is_watched() {
            self.breaker.borrow().circuit().settle_dropped(&self.pass);
        }
    }
}

impl<B: Borrow<Breaker>> fmt::Debug for Permit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("breaker", &self.breaker.borrow().name())
            .finish_non_exhaustive()
    }
}
