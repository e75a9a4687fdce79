//! What came of the actions of a connection.

use std::time::Duration;

use bytes::Bytes;
use pm_core::Tick;

use super::{
    Close, CloseCode, Opened, Rejection, SocketSettings,
    connection::{Connection, Phase},
    reply,
    session::Session,
};
use crate::{
    auth::Role,
    domain::Refusal,
    r#gen::{self as pb, Code, server_frame},
    store::{Answer, Page, Scope, Snapshot, StoreError},
    sync::Failure,
    wire::encode,
};

/// When to come back after what the tenant has stored could not be read, if nobody knows better.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(2);

impl Connection {
    /// The result of [`Action::Open`](super::Action::Open).
    pub fn opened(&mut self, result: Result<Opened, Rejection>, now: Tick, wall_us: i64) {
        let Phase::Opening { frame, .. } = self.phase else {
            return;
        };
        if self.closing.is_some() {
            return; // too late
        }
        let opened = match result {
            Ok(opened) => opened,
            Err(rejection) => return self.reject(frame, rejection),
        };
        let session = Session::new(opened.identity, opened.expires, opened.hub);
        if !Role::Viewer.is_held_by(&session.identity) {
            let words = "the token has none of the roles viewer, editor and admin";
            return self.reject(frame, Rejection::Rights(words.to_owned()));
        }
        let welcome = self.welcome(&session, wall_us);
        self.outbox
            .push(encode::packet(frame, server_frame::Body::Welcome(welcome)));
        self.phase = Phase::Open(Box::new(session));
        self.tick(now);
    }

    /// The result of [`Action::Submit`](super::Action::Submit).
    pub fn submitted(&mut self, frame: u32, result: &Result<Answer, Failure>) {
        if let Phase::Open(session) = &mut self.phase {
            session.in_flight -= 1;
        }
        match result {
            // A replayed answer is behind its event, too, wherever the cursors are.
            Ok(answer) if frame != 0 => {
                self.outbox
                    .push_after(answer.rev, reply::answer(frame, answer));
            }
            Ok(_) => {}
            Err(failure) => self.refuse(frame, reply::failure(failure)),
        }
        self.close_if_drained();
    }

    /// The result of [`Action::Snapshot`](super::Action::Snapshot).
    pub fn snapshotted(&mut self, frame: u32, scope: Scope, result: Result<Snapshot, StoreError>) {
        let Phase::Open(session) = &mut self.phase else {
            return;
        };
        session.started -= 1;
        let Some(at) = session
            .snapshots
            .iter()
            .position(|wanted| *wanted == (frame, scope))
        else {
            return; // unsubscribed meanwhile
        };
        session.snapshots.swap_remove(at);
        let snapshot = match result {
            Ok(snapshot) => snapshot,
            Err(error) => return self.lost(&error),
        };
        if let Scope::Project(id) = scope
            && snapshot.projects.is_empty()
        {
            let unknown = Refusal::NotFound {
                what: "project",
                id,
            };
            return self.refuse(frame, reply::refusal(&unknown));
        }
        session.cursors.follow(scope, snapshot.position.rev);
        let project = match scope {
            Scope::Tenant => Bytes::new(),
            Scope::Project(id) => encode::id(id),
        };
        let mut parts = reply::snapshot(frame, project, &snapshot);
        parts.extend((frame != 0).then(|| reply::subscribed(frame, snapshot.position, false)));
        // First: an answer in the queue may wait for an event that comes after the snapshot, and
        // would draw it out before.
        self.outbox.push_first(parts);
    }

    /// The result of [`Action::Read`](super::Action::Read).
    pub fn read(&mut self, scope: Scope, result: Result<Page, StoreError>) {
        let Phase::Open(session) = &mut self.phase else {
            return;
        };
        let read = session.reading.take();
        match result {
            // Asked for again from elsewhere meanwhile, it is not what comes next.
            Ok(_) if read != session.cursors.at(scope) => {}
            Ok(page) => {
                let events = session.hub.deliver_page(&mut session.cursors, scope, &page);
                self.outbox.push_first(events);
            }
            Err(error) => self.lost(&error),
        }
    }

    fn reject(&mut self, frame: u32, rejection: Rejection) {
        let (code, words, close) = match rejection {
            Rejection::Token(words) => {
                let close = Close::for_good(CloseCode::Token, "the token is not valid");
                (Code::Unauthenticated, words, close)
            }
            Rejection::Rights(words) => {
                let close = Close::for_good(CloseCode::Forbidden, "the token is not good for this");
                (Code::Forbidden, words, close)
            }
            Rejection::UnknownTenant(words) => {
                let close = Close::for_good(CloseCode::Forbidden, "there is no such tenant");
                (Code::UnknownTenant, words, close)
            }
            Rejection::Unavailable(words, wait) => {
                let reason = "the tenant cannot be served now";
                self.refuse_always(frame, reply::temporary(Code::Unavailable, words, wait));
                return self.close(Close::for_now(CloseCode::Unavailable, reason, wait));
            }
        };
        self.refuse_always(frame, reply::plain(code, words));
        self.close(close);
    }

    /// The storage does not answer: what was promised cannot be kept, so the client begins anew.
    fn lost(&mut self, error: &StoreError) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a subscription was given up"
        );
        // Going down already, the answers that wait for what was to be read have waited in vain.
        self.outbox.drop_waiting();
        let reason = "the tenant's storage does not answer";
        let wait = error.retry_after().unwrap_or(UNAVAILABLE_RETRY);
        self.close(Close::for_now(CloseCode::Unavailable, reason, wait));
    }

    fn welcome(&self, session: &Session, wall_us: i64) -> pb::Welcome {
        let SocketSettings {
            heartbeat,
            pong_within,
            ..
        } = *self.settings;
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        pb::Welcome {
            connection_id: self.id.as_ref().to_owned(),
            tenant: session.identity.tenant().unwrap_or_default().to_owned(),
            subject: session.identity.subject().to_owned(),
            position: Some(reply::place(session.hub.head())),
            limits: Some(pb::Limits {
                max_message_bytes: number(self.settings.max_message_bytes),
                max_in_flight: number(self.settings.max_in_flight),
                max_subscriptions: number(self.settings.max_subscriptions),
            }),
            heartbeat_ms: millis(heartbeat),
            pong_within_ms: millis(pong_within),
            server_time_us: wall_us,
            server: concat!("pm-server/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
