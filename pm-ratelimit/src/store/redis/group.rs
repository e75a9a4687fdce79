use arrayvec::ArrayVec;
use pm_core::redis::{Error, Slot};

use super::RedisStore;
use super::answer::{Answer, Part};
use super::packed::Packed;
use crate::{Charge, Charges, Mode};

/// The charges of a decision that are one script: in a cluster, those whose buckets are in one
/// slot.
#[derive(Debug)]
pub(super) struct Group {
    slot: Option<Slot>,
    pub(super) members: ArrayVec<Member, { Charges::MAX }>,
}

#[derive(Debug)]
pub(super) struct Member {
    /// Which charge of the decision it is.
    pub(super) place: usize,
    pub(super) charge: Charge,
    key: String,
}

impl Group {
    /// All of these charges, in groups.
    pub(super) fn all(store: &RedisStore, charges: &[Charge]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::with_capacity(1);
        for (place, charge) in charges.iter().enumerate() {
            let key = store.key(charge);
            let slot = store.redis.slot(&key);
            let member = Member {
                place,
                charge: *charge,
                key,
            };
            match groups.iter_mut().find(|group| group.slot == slot) {
                Some(group) => group.members.push(member),
                None => groups.push(Self {
                    slot,
                    members: [member].into_iter().collect(),
                }),
            }
        }
        groups
    }

    /// Decides on these charges alone.
    pub(super) async fn decide(&self, store: &RedisStore) -> Result<Answer, Error> {
        let keys = self.members.iter().map(|member| &member.key);
        let mut numbers = Packed::default();
        for Member { charge, .. } in &self.members {
            let interval = charge.quota().interval_nanos();
            numbers.push(match charge.mode() {
                Mode::Enforce => 0,
                Mode::Peek => 1,
                Mode::Shadow => 2,
            });
            numbers.push(charge.cost().into());
            numbers.push(charge.quota().capacity().into());
            numbers.push(interval / 1_000);
            numbers.push(interval % 1_000);
            numbers.push(charge.ceiling().into());
        }
        let invocation = store.decide.on(keys).arg(numbers.as_bytes());
        Answer::read(store.redis.run(&invocation).await?, self.members.len())
    }

    /// Gives back what [`decide`](Self::decide) has taken with this answer, and corrects the answer
    /// by what the buckets owe then.
    pub(super) async fn give_back(
        &self,
        store: &RedisStore,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        let taken = self.taken(answer);
        let keys = taken.iter().map(|&at| &self.members[at].key);
        let (mut when, mut numbers) = (Packed::default(), Packed::default());
        when.push(answer.at);
        for &at in &taken {
            let (charge, part) = (&self.members[at].charge, &answer.parts[at]);
            let interval = charge.quota().interval_nanos();
            numbers.push(charge.cost().into());
            numbers.push(interval / 1_000);
            numbers.push(interval % 1_000);
            numbers.push(charge.ceiling().into());
            numbers.push(part.debt_us);
            numbers.push(part.debt_ns);
            numbers.push(part.given_us);
            numbers.push(part.given_ns);
        }
        let refund = store.refund.on(keys);
        let invocation = refund.arg(when.as_bytes()).arg(numbers.as_bytes());
        answer.correct(&taken, store.redis.run(&invocation).await?)
    }

    /// Whether there is anything to be given back.
    pub(super) fn has_taken(&self, answer: &Answer) -> bool {
        !self.taken(answer).is_empty()
    }

    /// Those members whose tokens were taken.
    pub(super) fn taken(&self, answer: &Answer) -> ArrayVec<usize, { Charges::MAX }> {
        let is_taken = |charge: &Charge, part: &Part| {
            part.fits && charge.cost() > 0 && charge.mode() != Mode::Peek
        };
        let members = self.members.iter().zip(&answer.parts).enumerate();
        members
            .filter(|(_, (member, part))| answer.admitted && is_taken(&member.charge, part))
            .map(|(at, _)| at)
            .collect()
    }
}
