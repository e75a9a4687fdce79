//! What the frames of a client ask for.

use std::time::Duration;

use pm_ratelimit::Verdict;

use super::{
    Close, CloseCode, FrameKind,
    connection::{Action, Connection, Phase},
    reply,
    session::scope,
};
use crate::{
    domain::Id,
    r#gen::{self as pb, Code, client_frame::Body},
    store::Position,
    wire::decode,
};

/// Replies that may wait to be sent before no further frame is looked at.
const MAX_REPLIES: usize = 64;

/// Snapshots that may be read for one connection at a time.
const MAX_SNAPSHOTS: usize = 2;

/// Refusals in a row that a client may ignore.
const MAX_GATED: u32 = 1000;

/// When to come back for whoever goes on sending what will never be let through.
const NEVER_RETRY: Duration = Duration::from_secs(60);

impl Connection {
    /// Looks at frames for as long as there is room for what they cause.
    pub(super) fn work(&mut self, wall_us: i64) {
        while self.closing.is_none() && self.draining.is_none() && self.has_room() {
            match self.frames.next() {
                None => return,
                Some(Ok(frame)) => self.frame(frame, wall_us),
                Some(Err(error)) => {
                    self.refuse_always(0, reply::plain(Code::Protocol, error.to_string()));
                    let reason = "the message is not a packet of pm.v1 frames";
                    self.close(Close::for_good(CloseCode::Protocol, reason));
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.outbox.len() < MAX_REPLIES
            && self.undecided.is_none()
            && match &self.phase {
                Phase::Silent { .. } => true,
                Phase::Opening { .. } => false,
                Phase::Open(session) => {
                    session.in_flight < self.settings.max_in_flight
                        && session.started < MAX_SNAPSHOTS
                }
            }
    }

    fn frame(&mut self, frame: pb::ClientFrame, wall_us: i64) {
        // What comes before is one hello, or the end.
        if !matches!(self.phase, Phase::Open(_)) {
            self.carry_out(frame, wall_us);
        } else if let Some(frame) = self.let_through(frame) {
            self.carry_out(frame, wall_us);
        }
    }

    fn carry_out(&mut self, frame: pb::ClientFrame, wall_us: i64) {
        let id = frame.id;
        match (&self.phase, frame.body) {
            (Phase::Silent { .. }, Some(Body::Hello(hello))) => {
                let until = self.last_traffic + self.settings.open_within;
                self.phase = Phase::Opening { frame: id, until };
                let pb::Hello {
                    token,
                    tenant,
                    client,
                } = hello;
                tracing::debug!(client = %client.escape_debug(), "hello");
                self.actions.push_back(Action::Open { token, tenant });
            }
            (Phase::Silent { .. } | Phase::Opening { .. }, _) => {
                let words = "the first frame must be a hello";
                self.refuse_always(id, reply::plain(Code::Protocol, words));
                self.close(Close::for_good(CloseCode::Protocol, words));
            }
            (Phase::Open(_), Some(Body::Hello(_))) => {
                self.refuse(id, reply::plain(Code::Protocol, "hello was said already"));
            }
            (Phase::Open(_), Some(Body::Subscribe(subscribe))) => self.subscribe(id, &subscribe),
            (Phase::Open(_), Some(Body::Unsubscribe(unsubscribe))) => {
                self.unsubscribe(id, &unsubscribe);
            }
            (Phase::Open(_), Some(Body::Mutate(mutate))) => self.mutate(id, &mutate, wall_us),
            (Phase::Open(_), Some(Body::Pong(pb::Pong {}))) => {}
            (Phase::Open(_), None) => {
                let words = "this server does not know this kind of frame";
                self.refuse(id, reply::plain(Code::Protocol, words));
            }
        }
    }

    fn subscribe(&mut self, frame: u32, subscribe: &pb::Subscribe) {
        let scope = match decode::scope(&subscribe.project_id) {
            Ok(project) => scope(project),
            Err(refusal) => return self.refuse(frame, reply::refusal(&refusal)),
        };
        let Phase::Open(session) = &mut self.phase else {
            return;
        };
        if session.overlaps(scope) {
            let words = "follow the whole tenant or some of its projects; unsubscribe first";
            return self.refuse(frame, reply::plain(Code::Invalid, words));
        }
        if !session.follows(scope) && session.subscriptions() >= self.settings.max_subscriptions {
            let words = "too many subscriptions; unsubscribe from some first";
            return self.refuse(frame, reply::plain(Code::Invalid, words));
        }
        let since = subscribe.since.as_ref().map(|since| {
            let position = |epoch| Position {
                epoch,
                rev: since.rev,
            };
            let since = Id::from_slice(&since.epoch).map(position);
            since.filter(|since| session.can_resume(*since, self.settings.max_lag))
        });
        if let Some(None) = since {
            let words = "what came since then cannot be sent; subscribe without `since`";
            return self.refuse(frame, reply::plain(Code::Unrecoverable, words));
        }
        // It is granted, and takes the place of what was.
        session.unfollow(scope);
        let superseded = session.give_up_snapshot(scope);
        match since.flatten() {
            Some(since) => {
                session.cursors.follow(scope, since.rev);
                self.supersede(superseded);
                self.reply(frame, reply::subscribed(frame, since, true));
            }
            None => {
                session.snapshots.push((frame, scope));
                session.started += 1;
                self.supersede(superseded);
                self.actions.push_back(Action::Snapshot { frame, scope });
            }
        }
    }

    fn unsubscribe(&mut self, frame: u32, unsubscribe: &pb::Unsubscribe) {
        let scope = match decode::scope(&unsubscribe.project_id) {
            Ok(project) => scope(project),
            Err(refusal) => return self.refuse(frame, reply::refusal(&refusal)),
        };
        let Phase::Open(session) = &mut self.phase else {
            return;
        };
        let superseded = session.give_up_snapshot(scope);
        if session.unfollow(scope) || superseded.is_some() {
            let rev = session.hub.head().rev;
            let gone = pb::Ok {
                rev,
                ..pb::Ok::default()
            };
            self.supersede(superseded);
            self.reply(frame, reply::ok(frame, gone));
        } else {
            let words = "there is no such subscription";
            self.refuse(frame, reply::plain(Code::NotFound, words));
        }
    }

    fn supersede(&mut self, subscribe: Option<u32>) {
        if let Some(frame) = subscribe {
            let words = "a later frame about the same subscription took its place";
            self.refuse(frame, reply::plain(Code::Superseded, words));
        }
    }

    fn mutate(&mut self, frame: u32, mutate: &pb::Mutate, wall_us: i64) {
        let Phase::Open(session) = &self.phase else {
            return;
        };
        if !session.may_edit {
            let words = "changing things needs the role editor or admin";
            return self.refuse(frame, reply::plain(Code::Forbidden, words));
        }
        match decode::mutation(mutate, session.actor.clone(), wall_us) {
            Ok(mutation) => {
                if let Phase::Open(session) = &mut self.phase {
                    session.in_flight += 1;
                }
                self.actions.push_back(Action::Submit { frame, mutation });
            }
            Err(refusal) => self.refuse(frame, reply::refusal(&refusal)),
        }
    }

    /// The frame, if its sender may send it. It may be that this is not decided yet.
    pub(super) fn let_through(&mut self, frame: pb::ClientFrame) -> Option<pb::ClientFrame> {
        let Some(gate) = &self.gate else {
            return Some(frame);
        };
        let identity = match &self.phase {
            Phase::Open(session) => Some(&session.identity),
            Phase::Silent { .. } | Phase::Opening { .. } => None,
        };
        match gate.ask(identity, FrameKind::of(frame.body.as_ref())) {
            Ok(verdict) => (!self.is_refused(frame.id, &verdict)).then_some(frame),
            Err(question) => {
                self.undecided = Some(Box::new(frame));
                self.actions.push_back(Action::Ask { question });
                None
            }
        }
    }

    /// The answer to [`Action::Ask`].
    pub fn decided(&mut self, verdict: &Verdict, wall_us: i64) {
        // Otherwise it is over, or going down, and nobody waits for it any more.
        if let Some(frame) = self.undecided.take()
            && self.closing.is_none()
            && matches!(self.phase, Phase::Open(_))
            && !self.is_refused(frame.id, verdict)
        {
            self.carry_out(*frame, wall_us);
        }
    }

    /// Whether the frame is refused because its sender has had enough.
    fn is_refused(&mut self, frame: u32, verdict: &Verdict) -> bool {
        let (error, wait) = match verdict {
            Verdict::Allowed(_) => {
                self.gated = 0;
                return false;
            }
            Verdict::Refused(refused) => {
                let limit = refused.policy().map_or("", |policy| policy.as_str());
                let words = format!(
                    "too many frames for the limit {limit:?}; wait as long as `retry_after_ms` says"
                );
                let wait = refused.retry_after();
                (reply::temporary(Code::RateLimited, words, wait), wait)
            }
            Verdict::Never(never) => {
                let (limit, cost, most) = (never.policy(), never.cost(), never.capacity());
                let words = format!(
                    "a frame of this kind takes {cost} tokens, and the limit {:?} has {most} at most",
                    limit.as_str()
                );
                (reply::plain(Code::RateLimited, words), NEVER_RETRY)
            }
        };
        self.gated += 1;
        if self.gated > MAX_GATED {
            let reason = "frames were refused again and again, and still they came";
            self.close(Close::for_now(CloseCode::Rate, reason, wait));
        }
        self.refuse(frame, error);
        true
    }
}
