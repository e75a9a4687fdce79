use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use pm_core::Tick;

use super::{
    report::{Refused, Report},
    steps::{Step, Steps},
};
use crate::{
    client::{Answer, Backoff, Error, Rejection},
    r#gen as pb,
    plan::Skipped,
    store::Position,
};

/// More in flight than this makes nothing faster.
const MAX_WINDOW: usize = 256;
/// So many waits in a row without anything done are more than a minute.
const PATIENCE: u32 = 20;

/// Which steps to send when, and what their answers mean. No socket, no clock.
///
/// The lowest step that is due always goes first. The server applies what comes over one
/// connection in order, so a child may follow its parent before that is acknowledged; only if the
/// parent has to be repeated does the child, too.
#[derive(Debug)]
pub(super) struct Importer<'a> {
    steps: &'a [Step],
    states: Vec<State>,
    due: BTreeSet<usize>,
    in_flight: HashMap<u32, Sent>,
    window: usize,
    sendings: u64,
    /// The head before the first step was sent.
    start: Option<Position>,
    /// Nothing is sent before.
    paused_until: Tick,
    backoff: Backoff,
    settled: usize,
    report: Report,
}

/// How far a step is.
#[derive(Clone, Debug, Default)]
struct State {
    /// On an earlier connection, or answered with an error: the server may have applied it.
    sent_before: bool,
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The server has it. The sending that was acknowledged, to tell what came before and after.
    Done(u64),
    /// The server will not have it.
    Refused,
    /// The server had it, or what it is part of, and somebody deleted that.
    Deleted,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    step: usize,
    sending: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send this step, and ask again.
    Send(usize),
    /// Take an answer, and ask again.
    Answer,
    /// The same, but ask again at this moment at the latest.
    Wait(Tick),
    /// Everything is acknowledged or refused.
    Finished,
}

impl<'a> Importer<'a> {
    pub(super) fn new(steps: &'a Steps) -> Self {
        let steps = steps.all();
        Self {
            steps,
            states: vec![State::default(); steps.len()],
            due: (0..steps.len()).collect(),
            in_flight: HashMap::new(),
            window: 1,
            sendings: 0,
            start: None,
            paused_until: Tick::ZERO,
            backoff: Backoff::default(),
            settled: 0,
            report: Report::default(),
        }
    }

    /// A connection was made that takes this many changes at once.
    pub(super) fn connected(&mut self, max_in_flight: usize, head: Option<Position>) {
        self.window = max_in_flight.clamp(1, MAX_WINDOW);
        if self.sendings == 0 {
            self.start = head;
        } else if self.start.map(|start| start.epoch) != head.map(|head| head.epoch) {
            // Another life of the tenant: its numbers do not compare.
            self.start = None;
        }
    }

    /// The connection is gone: what was not acknowledged is due again. Returns how long to stay
    /// away, or `None` if that has been tried often enough.
    pub(super) fn disconnected(&mut self, error: &Error) -> Option<Duration> {
        if self.sendings == 0 {
            return None;
        }
        for (_, sent) in self.in_flight.drain() {
            self.states[sent.step].sent_before = true;
            self.due.insert(sent.step);
        }
        self.wait(error.retry_after())
    }

    pub(super) fn next(&mut self, now: Tick) -> Next {
        while let Some(&step) = self.due.first() {
            if self.needs(step) == Some(Outcome::Refused) {
                self.refused(step, "what it is part of was not imported".to_owned());
                continue;
            }
            if self.in_flight.len() >= self.window {
                return Next::Answer;
            }
            if now < self.paused_until {
                return Next::Wait(self.paused_until);
            }
            return Next::Send(step);
        }
        if self.in_flight.is_empty() {
            Next::Finished
        } else {
            Next::Answer
        }
    }

    pub(super) fn mutation(&self, step: usize) -> &pb::Mutate {
        &self.steps[step].mutation
    }

    /// The step is on its way under this frame id.
    pub(super) fn sent(&mut self, step: usize, frame: u32) {
        self.due.remove(&step);
        self.sendings += 1;
        let sending = self.sendings;
        self.in_flight.insert(frame, Sent { step, sending });
    }

    /// Takes in an answer.
    ///
    /// # Errors
    ///
    /// If nothing else will come through either, or not soon.
    pub(super) fn answered(&mut self, frame: u32, answer: Answer, now: Tick) -> Result<(), Error> {
        let Some(sent) = self.in_flight.remove(&frame) else {
            return Ok(());
        };
        match answer {
            Ok(ok) => self.done(sent, self.is_new(sent.step, &ok)),
            Err(rejection) => return self.rejected(sent, rejection, now),
        }
        Ok(())
    }

    /// The step will not be done.
    pub(super) fn refused(&mut self, step: usize, reason: String) {
        self.due.remove(&step);
        self.states[step].outcome = Some(Outcome::Refused);
        if let Some(refused) = self.not_imported(step, reason) {
            self.report.refused.push(refused);
        }
    }

    /// How many items are acknowledged or refused.
    pub(super) const fn settled(&self) -> usize {
        self.settled
    }

    pub(super) fn report(mut self, skipped: Vec<Skipped>) -> Report {
        self.report.skipped = skipped;
        self.report.refused.sort_by_key(|refused| refused.line);
        self.report.deleted.sort_by_key(|deleted| deleted.line);
        self.report
    }

    fn done(&mut self, sent: Sent, is_new: bool) {
        self.backoff.reset();
        self.states[sent.step].outcome = Some(Outcome::Done(sent.sending));
        if let Some(item) = &self.steps[sent.step].item {
            self.settled += 1;
            self.report.count(item.kind);
            self.report.new += usize::from(is_new);
        }
    }

    /// Somebody deleted it, and an import does not undo that.
    fn deleted(&mut self, step: usize, reason: &str) {
        self.states[step].outcome = Some(Outcome::Deleted);
        if let Some(deleted) = self.not_imported(step, reason.to_owned()) {
            self.report.deleted.push(deleted);
        }
    }

    fn not_imported(&mut self, step: usize, reason: String) -> Option<Refused> {
        let item = self.steps[step].item.as_ref()?;
        self.settled += 1;
        Some(Refused {
            line: item.line,
            title: item.title.clone(),
            reason,
        })
    }

    /// What this import sent before it lost the answer is replayed too, and still its own doing.
    fn is_new(&self, step: usize, ok: &pb::Ok) -> bool {
        let since_start = self.start.is_some_and(|start| ok.rev > start.rev);
        !ok.replayed || self.states[step].sent_before && since_start
    }

    fn rejected(&mut self, sent: Sent, rejection: Rejection, now: Tick) -> Result<(), Error> {
        let Sent { step, sending } = sent;
        match rejection.code() {
            // What the line says has changed since it was imported, and its id is still the one of
            // something deleted.
            pb::Code::AlreadyExists
                if self.steps[step].item.is_some() && rejection.as_schema().current.is_none() =>
            {
                self.deleted(step, "it was deleted on the server");
            }
            // Somebody may have edited it since; that is theirs.
            pb::Code::AlreadyExists => self.done(sent, false),
            _ if rejection.is_temporary() => {
                self.again(step);
                return self.pause(rejection, now);
            }
            // The parent is not there yet: it is on its way again, or was when this one was looked at.
            pb::Code::NotFound if self.was_early(step, sending) => self.again(step),
            // The parent was there before this was sent, and is not: only deleting does that.
            pb::Code::NotFound if self.is_below_an_item(step) => {
                self.deleted(step, "what it is part of was deleted on the server");
            }
            pb::Code::Unauthenticated
            | pb::Code::Forbidden
            | pb::Code::UnknownTenant
            | pb::Code::Archived
            | pb::Code::Protocol => return Err(rejection.into()),
            _ if self.steps[step].item.is_none() => return Err(rejection.into()),
            _ => self.refused(step, rejection.to_string()),
        }
        Ok(())
    }

    /// Whether what this step needs may have come after this sending of it.
    fn was_early(&self, step: usize, sending: u64) -> bool {
        match self.needs(step) {
            None => self.steps[step].needs.is_some(),
            Some(Outcome::Done(needed)) => needed > sending,
            Some(Outcome::Refused | Outcome::Deleted) => false,
        }
    }

    fn is_below_an_item(&self, step: usize) -> bool {
        let needed = self.steps[step].needs;
        needed.is_some_and(|needed| self.steps[needed].item.is_some())
    }

    fn again(&mut self, step: usize) {
        self.states[step].sent_before = true;
        self.due.insert(step);
    }

    fn pause(&mut self, rejection: Rejection, now: Tick) -> Result<(), Error> {
        // The answers to all that was in flight when the first was turned away are one attempt.
        if now < self.paused_until {
            let asked = now + rejection.retry_after().unwrap_or_default();
            self.paused_until = self.paused_until.max(asked);
            return Ok(());
        }
        match self.wait(rejection.retry_after()) {
            Some(wait) => {
                self.paused_until = now + wait;
                Ok(())
            }
            None => Err(rejection.into()),
        }
    }

    fn wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        (self.backoff.attempts() < PATIENCE).then(|| self.backoff.next_wait(asked))
    }

    /// What became of the step that this one needs; the project needs none.
    fn needs(&self, step: usize) -> Option<Outcome> {
        self.steps[step]
            .needs
            .and_then(|needed| self.states[needed].outcome)
    }
}

#[cfg(test)]
mod tests;
