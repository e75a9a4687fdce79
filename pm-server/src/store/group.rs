//! What a group of mutations amounts to: the part of `apply` that is the same for every store.

use std::collections::HashMap;

use prost::Message;

use super::{Answer, Applied, Entry};
use crate::{
    domain::{Backlog, Event, Id, Lane, Mutation, Refusal, Undecided},
    wire::encode,
};

/// What a store knows before it applies a group.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// At least what the group touches.
    pub(super) backlog: Backlog,
    /// The newest rev of the tenant.
    pub(super) head: u64,
    /// The newest rev of each project the group may touch.
    pub(super) heads: HashMap<Id, u64>,
    /// The answered mutations among the group's.
    pub(super) answered: HashMap<Id, ([u8; 16], Answer)>,
}

/// What a store has to write.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) events: Vec<Event>,
    pub(super) applied: Applied,
    /// The mutations answered for the first time: their place in the group.
    pub(super) fresh: Vec<usize>,
}

impl Ground {
    /// Decides the group, each mutation on top of those before it; `self` becomes the state after.
    ///
    /// # Errors
    ///
    /// A lane whose siblings must all be known. `self` is then used up.
    pub(super) fn plan(&mut self, group: &[Mutation]) -> Result<Plan, Lane> {
        let mut plan = Plan::default();
        for (at, mutation) in group.iter().enumerate() {
            let answer = self.answer(mutation, &mut plan.events)?;
            if answer.as_ref().is_ok_and(|answer| !answer.replayed) {
                plan.fresh.push(at);
            }
            plan.applied.answers.push(answer);
        }
        plan.applied.entries = plan.events.iter().map(entry).collect();
        Ok(plan)
    }

    fn answer(
        &mut self,
        mutation: &Mutation,
        events: &mut Vec<Event>,
    ) -> Result<Result<Answer, Refusal>, Lane> {
        if let Some((digest, answer)) = self.answered.get(&mutation.id) {
            if *digest != mutation.digest {
                return Ok(Err(Refusal::MutationReused));
            }
            return Ok(Ok(Answer {
                replayed: true,
                ..answer.clone()
            }));
        }
        let decision = match self.backlog.decide(&mutation.operation, mutation.at_us) {
            Ok(decision) => decision,
            Err(Undecided::Refused(refusal)) => return Ok(Err(refusal)),
            Err(Undecided::LaneNeeded(lane)) => return Err(lane),
        };
        for change in decision.changes {
            self.backlog
                .apply(decision.project, mutation.at_us, &change);
            self.head += 1;
            let prev = self.heads.insert(decision.project, self.head).unwrap_or(0);
            events.push(Event {
                rev: self.head,
                prev,
                project: decision.project,
                at_us: mutation.at_us,
                actor: mutation.actor.clone(),
                mutation: mutation.id,
                change,
            });
        }
        let answer = Answer {
            rev: self.head,
            replayed: false,
            subject: decision.subject,
        };
        self.answered
            .insert(mutation.id, (mutation.digest, answer.clone()));
        Ok(Ok(answer))
    }
}

fn entry(event: &Event) -> Entry {
    let bytes = encode::event(event).encode_to_vec().into();
    Entry {
        rev: event.rev,
        project: event.project,
        event: bytes,
    }
}
