use std::sync::Arc;

use arrayvec::ArrayVec;
use pm_core::Tick;

use super::Shared;
use super::flight::{Aloft, Flight};
use super::lease::{Answered, Unspent};
use super::owed::Owed;
use super::table::{Drawn, Settled, Table};
use crate::store::redis::Receipts;
use crate::{Charge, Charges, Decision, Error, Mode, Outcome};

/// A decision that takes more than there is in the slices: what they pay of it, and what the store
/// is asked for.
pub(super) struct Order {
    charges: Charges,
    parts: ArrayVec<Part, { Charges::MAX }>,
    asked: Charges,
    /// Others wait until this is gone.
    _aloft: Aloft,
}

/// What becomes of one charge.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Nothing, if it is not leased.
    drawn: Option<Drawn>,
    /// Which of those that are asked for it is; none, if its slice pays for all of it.
    asked: Option<usize>,
    /// Which of them are its tokens ahead.
    ahead: Option<usize>,
}

impl Order {
    /// Draws what there is for these charges. If one of them is not leased they are asked about each
    /// time: to take tokens ahead, or to wait for some, would spare nothing.
    ///
    /// # Errors
    ///
    /// If somebody is about to bring what one of them lacks, and it may wait for that. Then nothing
    /// is drawn.
    pub(super) fn of(table: &Table, charges: Charges, may_wait: bool) -> Result<Self, Flight> {
        let (aloft, flight) = Flight::begin();
        let all_leased = charges.as_slice().iter().all(Charge::is_leased);
        let may_wait = may_wait && all_leased;
        let mut room = match all_leased {
            true => Charges::MAX - charges.as_slice().len(),
            false => 0,
        };
        let (mut parts, mut asked) = (ArrayVec::new(), Charges::new());
        for charge in charges.as_slice() {
            let drawn = if charge.is_leased() {
                match table.draw(charge, may_wait, (room > 0).then_some(&flight)) {
                    Ok(drawn) => drawn,
                    Err(other) => {
                        put_back(table, &charges, &parts);
                        return Err(other);
                    }
                }
            } else {
                None
            };
            room -= usize::from(drawn.is_some_and(|drawn| drawn.ahead > 0));
            let short = charge.cost() - drawn.map_or(0, |drawn| drawn.paid);
            let is_asked = drawn.is_none() || short > 0;
            parts.push(Part {
                drawn,
                asked: is_asked.then(|| ask(&mut asked, charge.with_cost(short))),
                ahead: None,
            });
        }
        // Behind all others: what is taken ahead must not be what another charge of the same bucket
        // lacks. Shadows, since they are taken if they fit, and have no say.
        for (charge, part) in charges.as_slice().iter().zip(&mut parts) {
            if let Some(drawn) = part.drawn.filter(|drawn| drawn.ahead > 0) {
                let ahead = charge.with_cost(drawn.ahead).with_mode(Mode::Shadow);
                part.ahead = Some(ask(&mut asked, ahead));
            }
        }
        Ok(Self {
            charges,
            parts,
            asked,
            _aloft: aloft,
        })
    }

    /// Asks the store. If there is anything to be put back or to be kept, that is a task of its own:
    /// whoever asked may go away meanwhile.
    pub(super) async fn carry_out(
        self,
        shared: &Arc<Shared>,
        now: Tick,
    ) -> Result<Decision, Error> {
        let drawn = self.parts.iter().filter_map(|part| part.drawn);
        let holds = drawn
            .map(|drawn| drawn.paid + drawn.ahead)
            .any(|held| held > 0);
        let carried = self.carry(Arc::clone(shared), now);
        if !holds {
            return carried.await;
        }
        pm_core::context::spawn(carried)
            .await
            .map_err(Error::unavailable)?
    }

    async fn carry(self, shared: Arc<Shared>, now: Tick) -> Result<Decision, Error> {
        let store = Arc::clone(&shared.store);
        match store.take(self.asked.as_slice()).await {
            Ok((decision, receipts)) => {
                let (decision, unspent) = self.settle(&shared, &decision, &receipts, now);
                Owed::give_back(Owed::all(&shared, unspent)).await;
                Ok(decision)
            }
            Err(error) => {
                put_back(&shared.table, &self.charges, &self.parts);
                for (charge, part) in self.charges.as_slice().iter().zip(&self.parts) {
                    if let Some(drawn) = part.drawn {
                        // They may have been taken.
                        shared.counters.taken(drawn.ahead);
                        shared.table.fail(charge, drawn.ahead);
                    }
                }
                Err(error)
            }
        }
    }

    /// Keeps what was taken ahead, puts back what was drawn for nothing, and says what each charge
    /// looks like from here.
    fn settle(
        &self,
        shared: &Shared,
        decision: &Decision,
        receipts: &Receipts,
        now: Tick,
    ) -> (Decision, Vec<Unspent>) {
        let mut unspent = Vec::new();
        let answered = |at: usize| {
            let outcome = decision.outcomes().get(at).copied();
            let outcome = outcome.unwrap_or_else(Outcome::unknown);
            Answered { outcome, now }
        };
        let outcomes = self
            .charges
            .as_slice()
            .iter()
            .zip(&self.parts)
            .map(|(charge, part)| {
                let own = part.asked.map(answered);
                let outcome = own.map(|own| own.outcome);
                let Some(drawn) = part.drawn else {
                    return outcome.unwrap_or_else(Outcome::unknown);
                };
                let landed = part
                    .ahead
                    .and_then(|at| Some((answered(at), receipts[at]?)));
                if landed.is_some() {
                    shared.counters.taken(drawn.ahead);
                }
                let fits = outcome.is_none_or(|outcome| outcome.is_allowed());
                let settled = Settled {
                    drawn,
                    taken: decision.is_admitted() && fits,
                    answered: own,
                    landed,
                };
                let (seen, surplus) = shared.table.settle(charge, settled, now);
                unspent.extend(surplus);
                together(outcome, seen)
            });
        let outcomes: ArrayVec<Outcome, { Charges::MAX }> = outcomes.collect();
        let decision = if decision.is_admitted() {
            Decision::admitted(outcomes)
        } else {
            Decision::refused(outcomes)
        };
        (decision, unspent)
    }
}

/// What the store says about a charge, and what is left where what is held counts as well.
fn together(answered: Option<Outcome>, seen: Option<Outcome>) -> Outcome {
    match (answered, seen) {
        (Some(answered), Some(seen)) if answered.is_known() && !answered.is_allowed() => {
            Outcome::waits(seen.remaining(), seen.reset_nanos(), answered.wait_nanos())
        }
        (Some(answered), None) => answered,
        (Some(answered), Some(_)) if !answered.is_known() => answered,
        (_, Some(seen)) => seen,
        (None, None) => Outcome::unknown(),
    }
}

fn put_back(table: &Table, charges: &Charges, parts: &[Part]) {
    for (charge, part) in charges.as_slice().iter().zip(parts) {
        if let Some(drawn) = part.drawn {
            table.put_back(charge, drawn.paid);
        }
    }
}

/// The place that the charge has among those that are asked for.
fn ask(asked: &mut Charges, charge: Charge) -> usize {
    let at = asked.as_slice().len();
    // There are no more than there were charges, and one for each place that was free.
    asked.push(charge).expect("there is room for eight");
    at
}
