use arrayvec::ArrayVec;
use pm_core::redis::{Error, Slot};

use super::RedisStore;
use super::answer::{Answer, Part};
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
        let mut invocation = store.decide.on(keys);
        for Member { charge, .. } in &self.members {
            let interval = charge.quota().interval_nanos();
            let mode = match charge.mode() {
                Mode::Enforce => "enforce",
                Mode::Peek => "peek",
                Mode::Shadow => "shadow",
            };
            invocation = invocation
                .arg(mode)
                .arg(charge.cost())
                .arg(charge.quota().capacity())
                .arg(interval / 1_000)
                .arg(interval % 1_000)
                .arg(charge.ceiling());
        }
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
        let mut invocation = store.refund.on(keys).arg(answer.at);
        for &at in &taken {
            let (charge, part) = (&self.members[at].charge, &answer.parts[at]);
            let interval = charge.quota().interval_nanos();
            invocation = invocation
                .arg(charge.cost())
                .arg(interval / 1_000)
                .arg(interval % 1_000)
                .arg(charge.ceiling())
                .arg(part.debt_us)
                .arg(part.debt_ns)
                .arg(part.given_us)
                .arg(part.given_ns);
        }
        answer.correct(&taken, store.redis.run(&invocation).await?)
    }

    /// Whether there is anything to be given back.
    pub(super) fn has_taken(&self, answer: &Answer) -> bool {
        !self.taken(answer).is_empty()
    }

    /// Those members whose tokens were taken.
    fn taken(&self, answer: &Answer) -> ArrayVec<usize, { Charges::MAX }> {
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
