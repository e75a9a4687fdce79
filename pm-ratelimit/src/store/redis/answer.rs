use arrayvec::ArrayVec;
use pm_core::redis::{Error, Reply};

use super::group::Group;
use super::packed::Numbers;
use crate::algorithm::Gcra;
use crate::{Charge, Charges, Decision, Outcome};

/// What a script decided on the charges of one group.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) admitted: bool,
    /// When, in microseconds of the server's clock.
    pub(super) at: u64,
    pub(super) parts: ArrayVec<Part, { Charges::MAX }>,
}

/// What became of one charge, in microseconds where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) fits: bool,
    /// What the bucket owes, and the nanoseconds beyond it.
    pub(super) debt_us: u64,
    pub(super) debt_ns: u64,
    /// In how long it begins to be paid back.
    late: u64,
    /// How much others had been given back of it.
    pub(super) given_us: u64,
    pub(super) given_ns: u64,
}

/// What has to be known to give a charge back.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Receipt {
    at: u64,
    part: Part,
}

/// In the order of the charges; of those that took nothing there is none.
pub(in crate::store) type Receipts = [Option<Receipt>; Charges::MAX];

impl Receipt {
    /// As if nothing else had been asked for.
    pub(super) fn answer(self) -> Answer {
        Answer {
            admitted: true,
            at: self.at,
            parts: [self.part].into_iter().collect(),
        }
    }
}

impl Answer {
    /// The answer of `decide.lua` on so many charges.
    pub(super) fn read(reply: Reply, charges: usize) -> Result<Self, Error> {
        let mut numbers = Numbers::of(reply)?;
        let (admitted, at) = (numbers.next()? == 1, numbers.next()?);
        let parts: Result<_, _> = (0..charges)
            .map(|_| {
                Ok(Part {
                    fits: numbers.next()? == 1,
                    debt_us: numbers.next()?,
                    debt_ns: numbers.next()?,
                    late: numbers.next()?,
                    given_us: numbers.next()?,
                    given_ns: numbers.next()?,
                })
            })
            .collect();
        Ok(Self {
            admitted,
            at,
            parts: parts?,
        })
    }

    /// Takes over what `refund.lua` answered about these parts.
    pub(super) fn correct(&mut self, parts: &[usize], reply: Reply) -> Result<(), Error> {
        let mut numbers = Numbers::of(reply)?;
        for &at in parts {
            let (debt_us, debt_ns) = (numbers.next()?, numbers.next()?);
            let late = numbers.next()?;
            self.parts[at] = Part {
                debt_us,
                debt_ns,
                late,
                ..self.parts[at]
            };
        }
        Ok(())
    }
}

impl Part {
    fn outcome(&self, charge: &Charge) -> Outcome {
        let debt = nanos(self.debt_us).saturating_add(self.debt_ns);
        Gcra::new(charge.quota()).answer(self.fits, debt, nanos(self.late), charge.cost())
    }
}

const fn nanos(micros: u64) -> u64 {
    micros.saturating_mul(1_000)
}

/// The decision that follows from the answers of all its groups. One that is not known is not
/// there.
pub(super) fn decision(groups: &[Group], answers: &[Option<Answer>]) -> Decision {
    let mut outcomes = [Outcome::unknown(); Charges::MAX];
    let mut admitted = true;
    for (group, answer) in groups.iter().zip(answers) {
        let Some(answer) = answer else { continue };
        admitted &= answer.admitted;
        for (member, part) in group.members.iter().zip(&answer.parts) {
            outcomes[member.place] = part.outcome(&member.charge);
        }
    }
    let charges = groups.iter().map(|group| group.members.len()).sum();
    let outcomes = outcomes.into_iter().take(charges);
    if admitted {
        Decision::admitted(outcomes)
    } else {
        Decision::refused(outcomes)
    }
}

/// What each charge of a decision took, if all its groups admit.
pub(super) fn receipts(groups: &[Group], answers: &[Option<Answer>]) -> Receipts {
    let mut receipts = [None; Charges::MAX];
    let admitted = |answer: &Option<Answer>| answer.as_ref().is_some_and(|one| one.admitted);
    if !answers.iter().all(admitted) {
        return receipts;
    }
    for (group, answer) in groups.iter().zip(answers.iter().flatten()) {
        for at in group.taken(answer) {
            receipts[group.members[at].place] = Some(Receipt {
                at: answer.at,
                part: answer.parts[at],
            });
        }
    }
    receipts
}
