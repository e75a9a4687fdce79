use pm_core::Tick;

use super::flight::Flight;
use crate::algorithm::Gcra;
use crate::store::redis::Receipt;
use crate::{Charge, Outcome};

/// What an instance holds of one bucket: tokens that it took ahead, and what it knows.
#[derive(Debug)]
pub(super) struct Lease {
    /// Whose bucket it is, and under which quota the tokens were taken.
    charge: Charge,
    /// Tokens that may be spent without asking.
    left: u32,
    /// As many as those may become when some of them are put back.
    most: u32,
    /// How many are to be taken ahead the next time.
    next: u32,
    /// When the bucket is full as far as is known, in nanoseconds of the caller's clock.
    full_at: u64,
    /// How to give back what was taken last: all that is left is of that.
    receipt: Option<Receipt>,
    /// More is being taken.
    flight: Option<Flight>,
    /// Since the last look at who uses theirs.
    used: bool,
}

/// Tokens that nobody spends any more, and how to give them back.
#[derive(Debug)]
pub(super) struct Unspent {
    /// Costs as much as there is to be given back.
    pub(super) charge: Charge,
    pub(super) receipt: Receipt,
}

/// What a store answered about a leased charge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) outcome: Outcome,
    /// Before the store was asked.
    pub(super) now: Tick,
}

impl Lease {
    /// Of a bucket that nothing has been taken ahead of yet.
    pub(super) const fn of(charge: Charge) -> Self {
        Self {
            charge,
            left: 0,
            most: 0,
            next: 0,
            full_at: 0,
            receipt: None,
            flight: None,
            used: true,
        }
    }

    pub(super) fn is_of(&self, charge: &Charge) -> bool {
        self.charge.bucket() == charge.bucket()
    }

    /// Tokens are spent under the quota that they were taken under.
    pub(super) fn is_under(&self, charge: &Charge) -> bool {
        self.charge.quota() == charge.quota() && self.charge.ceiling() == charge.ceiling()
    }

    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    pub(super) fn flight(&self) -> Option<&Flight> {
        self.flight.as_ref().filter(|flight| !flight.is_over())
    }

    /// How dear it is to be forgotten; `None` if that would lose something.
    pub(super) fn worth(&self) -> Option<(bool, u32)> {
        (self.left == 0 && self.flight().is_none()).then_some((self.used, self.next))
    }

    /// Spends as much of `cost` as there is.
    pub(super) fn pay(&mut self, cost: u32) -> u32 {
        self.used = true;
        let paid = cost.min(self.left);
        self.left -= paid;
        paid
    }

    /// Takes back what was not spent after all; how much of it there is no room for.
    ///
    /// Tokens are alike: those that were spent since take the place of these, which may be of an
    /// earlier slice.
    pub(super) fn put_back(&mut self, tokens: u32) -> u32 {
        let kept = tokens.min(self.most - self.left);
        self.left += kept;
        tokens - kept
    }

    /// How many tokens to take ahead, within the slice of the charge. Until it lands, nobody else
    /// does.
    pub(super) fn take_off(&mut self, charge: &Charge, flight: &Flight) -> u32 {
        let ahead = self.next.min(charge.slice());
        if ahead > 0 {
            self.flight = Some(flight.clone());
        }
        ahead
    }

    /// `ahead` tokens were taken beyond the `short` ones that the decision itself needed. Returns what
    /// had been put back meanwhile and there is no room for.
    pub(super) fn land(
        &mut self,
        ahead: u32,
        short: u32,
        slice: u32,
        receipt: Receipt,
    ) -> Option<Unspent> {
        let (earlier, before) = (self.left, self.receipt.replace(receipt));
        self.left = ahead;
        self.most = slice.min(ahead.saturating_add(short));
        let surplus = self.put_back(earlier);
        before.and_then(|receipt| Unspent::of(&self.charge, surplus, receipt))
    }

    /// What the store says about the bucket. `ahead` tokens were taken beyond the `cost` of the
    /// decision.
    ///
    /// What is taken ahead doubles from one time to the next, so that no more is left unspent than was
    /// used before, and a subject that comes once is asked about once. It is never more than half of
    /// what there is: the last tokens are there for all instances.
    pub(super) fn learn(&mut self, answered: Answered, ahead: u32, cost: u32) {
        let Answered { outcome, now } = answered;
        if !outcome.is_known() {
            return;
        }
        // The latest: others may have given back since the one before.
        self.full_at = now.as_nanos().saturating_add(outcome.reset_nanos());
        let wanted = match ahead {
            0 => self.next.max(cost),
            _ => ahead.saturating_mul(2).max(cost),
        };
        self.next = wanted.min(outcome.remaining() / 2);
    }

    /// Takes nothing ahead until a question has been answered: what one takes that fails is lost.
    pub(super) const fn hold_back(&mut self) {
        self.next = 0;
    }

    /// What is left of the bucket, as if the tokens that are held were still in it.
    pub(super) fn look(&self, now: Tick) -> Outcome {
        let held = self.charge.quota().interval_nanos() * u64::from(self.left);
        let word = self.full_at.saturating_sub(held);
        Gcra::new(self.charge.quota()).look(word, now, 0)
    }

    /// Whether it has been used since this was asked before.
    pub(super) fn was_used(&mut self) -> bool {
        std::mem::take(&mut self.used)
    }

    /// What there is to be given back.
    pub(super) fn into_unspent(self) -> Option<Unspent> {
        Unspent::of(&self.charge, self.left, self.receipt?)
    }
}

impl Unspent {
    /// Of so many tokens of that bucket.
    pub(super) fn of(charge: &Charge, tokens: u32, receipt: Receipt) -> Option<Self> {
        let charge = charge.with_cost(tokens);
        (tokens > 0).then_some(Self { charge, receipt })
    }
}
