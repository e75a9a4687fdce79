use std::io::Write;

use super::{
    super::{Error, line::Line},
    tally::Tally,
};
use crate::{
    client::{self, Finding, Incoming, Replica, Visible},
    domain::Event,
    r#gen as pb,
    store::{Position, Scope},
};

/// What `watch` knows, over all its connections: what comes in becomes lines.
#[derive(Debug)]
pub(super) struct Follower {
    replica: Replica,
    tally: Tally,
    tenant: String,
    since_start: bool,
    colour: bool,
    /// Whether the server was asked to continue; it may not be able to.
    resuming: bool,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing yet.
    Wait,
    /// Nothing; the connection serves its purpose.
    Going,
    /// Subscribe again, without `since`.
    Snapshot,
}

impl Follower {
    pub(super) fn new(since_start: bool, colour: bool) -> Self {
        Self {
            replica: Replica::new(Scope::Tenant),
            tally: Tally::default(),
            tenant: String::new(),
            since_start,
            colour,
            resuming: false,
        }
    }

    /// Whether anything is known.
    pub(super) fn has_begun(&self) -> bool {
        self.replica.position().is_some()
    }

    /// A connection was made. Returns since when to subscribe.
    pub(super) fn connected(
        &mut self,
        welcome: &pb::Welcome,
        head: Option<Position>,
    ) -> Option<Position> {
        self.tenant.clone_from(&welcome.tenant);
        self.replica.interrupted();
        if let (true, false, Some(head)) = (self.since_start, self.has_begun(), head) {
            self.replica = Replica::at_start(Scope::Tenant, head.epoch);
        }
        let since = self.replica.position();
        self.resuming = since.is_some();
        since
    }

    /// Takes in what the server says.
    ///
    /// # Errors
    ///
    /// If the connection is of no more use, or `out` fails.
    pub(super) fn take(&mut self, incoming: Incoming, out: &mut impl Write) -> Result<Next, Error> {
        match incoming {
            Incoming::Event(event) => self.event(&event, out),
            Incoming::Snapshot(part) => {
                let before = self.replica.position();
                let position = part.position;
                if !self.replica.load(part) {
                    return Ok(Next::Wait);
                }
                if let Some(before) = before.filter(|before| before.epoch == position.epoch) {
                    self.tally.missed(position.rev.saturating_sub(before.rev));
                }
                self.say_where(out)?;
                Ok(Next::Going)
            }
            Incoming::Answered { answer: Ok(_), .. } if self.resuming => {
                self.resuming = false;
                match self.replica.rev() {
                    0 => writeln!(out, "{}: from the start", Visible(&self.tenant))?,
                    rev => writeln!(out, "resumed at rev {rev}, nothing missed")?,
                }
                out.flush()?;
                Ok(Next::Going)
            }
            Incoming::Answered {
                answer: Err(rejection),
                ..
            } if self.resuming && rejection.code() == pb::Code::Unrecoverable => {
                self.resuming = false;
                let rev = self.replica.rev();
                writeln!(
                    out,
                    "the server cannot resume from rev {rev}; starting from a new snapshot"
                )?;
                Ok(Next::Snapshot)
            }
            Incoming::Answered {
                answer: Err(rejection),
                ..
            }
            | Incoming::Rejected(rejection) => Err(client::Error::from(rejection).into()),
            // The snapshot that was asked for follows.
            Incoming::Answered { answer: Ok(_), .. }
            | Incoming::Goodbye(_)
            | Incoming::Ping
            | Incoming::Welcome(_) => Ok(Next::Wait),
        }
    }

    /// Says what was seen in all.
    pub(super) fn end(&self, out: &mut impl Write) -> Result<(), Error> {
        writeln!(out, "{}", self.tally)?;
        out.flush()?;
        Ok(())
    }

    fn event(&mut self, event: &Event, out: &mut impl Write) -> Result<Next, Error> {
        let line = Line::new(self.replica.backlog(), event, self.colour);
        match self.replica.apply(event) {
            Finding::Applied => {
                self.tally.seen(event.rev);
                writeln!(out, "{line}")?;
                out.flush()?;
                Ok(Next::Going)
            }
            Finding::Duplicate => {
                self.tally.seen_twice();
                Ok(Next::Wait)
            }
            Finding::Elsewhere => Ok(Next::Wait),
            Finding::Gap { expected, got } => {
                Err(client::Error::Incomplete { expected, got }.into())
            }
        }
    }

    fn say_where(&self, out: &mut impl Write) -> Result<(), Error> {
        let backlog = self.replica.backlog();
        writeln!(
            out,
            "{}: {}, {}, at rev {}",
            Visible(&self.tenant),
            counted(backlog.projects().count(), "project"),
            counted(backlog.items().count(), "item"),
            self.replica.rev()
        )?;
        out.flush()?;
        Ok(())
    }
}

fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::{Part, Rejection},
        domain::{Change, Id, Project},
    };

    fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 16])
    }

    fn position(rev: u64) -> Position {
        Position { epoch: id(7), rev }
    }

    fn project() -> Project {
        Project {
            id: id(1),
            name: "Apollo".to_owned(),
            archived: false,
            version: 1,
            created_at_us: 0,
            updated_at_us: 0,
        }
    }

    fn snapshot(rev: u64) -> Incoming {
        Incoming::Snapshot(Part {
            id: 2,
            scope: Scope::Tenant,
            position: position(rev),
            projects: vec![project()],
            items: Vec::new(),
            last: true,
        })
    }

    fn event(rev: u64) -> Incoming {
        Incoming::Event(Box::new(Event {
            rev,
            prev: rev - 1,
            project: id(1),
            at_us: 0,
            actor: "alice".into(),
            mutation: id(9),
            change: Change::ProjectArchived {
                version: rev,
                archived: true,
            },
        }))
    }

    fn answer(answer: client::Answer) -> Incoming {
        Incoming::Answered { id: 2, answer }
    }

    fn rejection(code: pb::Code) -> Rejection {
        Rejection::from(pb::Error {
            code: code as i32,
            message: "because".to_owned(),
            ..pb::Error::default()
        })
    }

    fn connected(follower: &mut Follower, head: u64) -> Option<Position> {
        let welcome = pb::Welcome {
            tenant: "demo".to_owned(),
            ..pb::Welcome::default()
        };
        follower.connected(&welcome, Some(position(head)))
    }

    /// What is written when these things come in.
    fn lines(follower: &mut Follower, incoming: impl IntoIterator<Item = Incoming>) -> String {
        let mut out = Vec::new();
        for incoming in incoming {
            follower.take(incoming, &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    fn end(follower: &Follower) -> String {
        let mut out = Vec::new();
        follower.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_begins_with_a_snapshot_and_resumes_where_it_was() {
        let mut follower = Follower::new(false, false);
        assert_eq!(connected(&mut follower, 141), None);
        let said = lines(
            &mut follower,
            [answer(Ok(Box::default())), snapshot(141), event(142)],
        );
        let shown = "   142  00:00:00Z  alice  project  archived  \"Apollo\"\n";
        assert_eq!(
            said,
            format!("demo: 1 project, 0 items, at rev 141\n{shown}")
        );
        assert_eq!(connected(&mut follower, 144), Some(position(142)));
        let said = lines(&mut follower, [answer(Ok(Box::default()))]);
        assert_eq!(said, "resumed at rev 142, nothing missed\n");
        lines(&mut follower, [event(142), event(143), event(144)]);
        assert_eq!(
            end(&follower),
            "watched: 3 events, revs 142–144, none missed, 1 twice\n"
        );
    }

    #[test]
    fn what_cannot_be_resumed_starts_again_and_is_counted_as_missed() {
        let mut follower = Follower::new(false, false);
        connected(&mut follower, 5);
        lines(&mut follower, [snapshot(5), event(6)]);
        connected(&mut follower, 20);
        let mut out = Vec::new();
        let refused = answer(Err(rejection(pb::Code::Unrecoverable)));
        assert_eq!(follower.take(refused, &mut out).unwrap(), Next::Snapshot);
        let said = lines(&mut follower, [answer(Ok(Box::default())), snapshot(20)]);
        assert_eq!(said, "demo: 1 project, 0 items, at rev 20\n");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "the server cannot resume from rev 6; starting from a new snapshot\n"
        );
        assert_eq!(
            end(&follower),
            "watched: 1 event, rev 6, 14 missed, none twice\n"
        );
    }

    #[test]
    fn from_the_start_everything_is_shown() {
        let mut follower = Follower::new(true, false);
        assert_eq!(connected(&mut follower, 9), Some(position(0)));
        let said = lines(
            &mut follower,
            [answer(Ok(Box::default())), event(1), event(2)],
        );
        assert!(said.starts_with("demo: from the start\n"), "{said}");
        assert_eq!(connected(&mut follower, 9), Some(position(2)));
    }

    #[test]
    fn a_gap_is_not_applied_and_ends_the_connection_for_a_while() {
        let mut follower = Follower::new(false, false);
        connected(&mut follower, 5);
        lines(&mut follower, [snapshot(5)]);
        let mut out = Vec::new();
        let Err(Error::Client(error)) = follower.take(event(7), &mut out) else {
            panic!("no error");
        };
        assert!(error.is_temporary());
        assert_eq!(connected(&mut follower, 7), Some(position(5)));
    }

    #[test]
    fn a_refused_subscription_ends_it() {
        for code in [
            pb::Code::Unauthenticated,
            pb::Code::Forbidden,
            pb::Code::Protocol,
        ] {
            let mut follower = Follower::new(false, false);
            connected(&mut follower, 5);
            let refused = answer(Err(rejection(code)));
            let Err(Error::Client(error)) = follower.take(refused, &mut Vec::new()) else {
                panic!("no error");
            };
            assert!(!error.is_temporary());
        }
    }
}
