use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use pm_server::{
    client::{Finding, Incoming, Options, Replica, Session, Token},
    domain::{Backlog, Event, Id},
    r#gen as pb,
    store::Scope,
};

/// A client as the real ones are: a session, a replica, and what it wants changed.
#[derive(Debug)]
pub struct Client {
    pub scope: Scope,
    pub replica: Replica,
    pub session: Option<Session>,
    /// Waiting for their answer on this connection, by frame.
    asked: BTreeMap<u32, pb::Mutate>,
    /// To be sent, or sent again after the connection broke.
    pub unsent: Vec<pb::Mutate>,
    subscription: Option<u32>,
    /// Earlier ones that the current one took the place of.
    superseded: Vec<u32>,
    /// Whether it asked again for what may be on its way already.
    overlaps: bool,
    pub is_live: bool,
    /// The first answer to every mutation: there is no other.
    pub answers: HashMap<pb::Mutate, pb::Ok>,
    pub refused: usize,
    pub resumed: usize,
    pub restarted: usize,
}

impl Client {
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            replica: Replica::new(scope),
            session: None,
            asked: BTreeMap::new(),
            unsent: vec![],
            subscription: None,
            superseded: vec![],
            overlaps: false,
            is_live: false,
            answers: HashMap::new(),
            refused: 0,
            resumed: 0,
            restarted: 0,
        }
    }

    pub fn connect(&mut self) {
        let options = Options::new("ws://server", "demo", Token::new("token"));
        self.session = Some(Session::new(&options));
        // In the same message as hello.
        self.subscribe();
        self.send();
    }

    pub fn disconnect(&mut self) {
        self.session = None;
        self.is_live = false;
        self.subscription = None;
        self.superseded.clear();
        self.overlaps = false;
        self.replica.interrupted();
        // Whether they were applied is known after repeating them.
        self.unsent
            .splice(0..0, std::mem::take(&mut self.asked).into_values());
    }

    pub fn subscribe(&mut self) {
        let Some(session) = &mut self.session else {
            return;
        };
        self.replica.give_up();
        self.overlaps |= self.is_live || self.subscription.is_some();
        self.is_live = false;
        self.superseded.extend(self.subscription.take());
        let asked = session.subscribe(self.scope, self.replica.position());
        self.subscription = Some(asked.expect("it is small"));
    }

    pub fn send(&mut self) {
        let Some(session) = &mut self.session else {
            return;
        };
        for mutate in std::mem::take(&mut self.unsent) {
            let frame = session.mutate(mutate.clone()).expect("it is small");
            self.asked.insert(frame, mutate);
        }
    }

    /// Sends something again that waits for its answer, or was answered.
    pub fn repeat(&mut self) {
        let again = self.asked.values().next().cloned();
        self.unsent.extend(again);
    }

    pub fn is_idle(&self) -> bool {
        self.unsent.is_empty() && self.asked.is_empty() && self.is_live
    }

    /// Takes in a message; false if the server said goodbye.
    pub fn receive(&mut self, message: Bytes) -> bool {
        let session = self.session.as_mut().expect("it is connected");
        session
            .receive(message)
            .expect("the server speaks the protocol");
        let mut stays = true;
        while let Some(incoming) = self.session.as_mut().and_then(Session::next) {
            match incoming {
                Incoming::Event(event) => self.happened(&event),
                Incoming::Snapshot(part) => {
                    self.replica.load(part);
                }
                Incoming::Answered { id, answer } if self.subscription == Some(id) => {
                    self.subscribed(answer);
                }
                Incoming::Answered { id, .. } if self.superseded.contains(&id) => {
                    self.superseded.retain(|other| *other != id);
                }
                Incoming::Answered { id, answer } => self.answered(id, answer),
                Incoming::Rejected(rejection) => panic!("{rejection}"),
                Incoming::Goodbye(_) => stays = false,
                Incoming::Welcome(_) | Incoming::Ping => {}
            }
        }
        stays
    }

    fn happened(&mut self, event: &Event) {
        let before = self.replica.position();
        match self.replica.apply(event) {
            Finding::Applied => {}
            Finding::Duplicate if self.overlaps => {}
            // Of the subscription before, whose snapshot was given up.
            Finding::Gap { .. } if self.overlaps && before.is_none() => {}
            finding => panic!("{finding:?}: rev {} after {before:?}", event.rev),
        }
    }

    fn subscribed(&mut self, answer: Result<Box<pb::Ok>, pm_server::client::Rejection>) {
        self.subscription = None;
        match answer {
            Ok(ok) => {
                let Some(pb::ok::Result::Subscribed(subscribed)) = ok.result else {
                    panic!()
                };
                if subscribed.recovered {
                    self.resumed += 1;
                } else {
                    self.restarted += 1;
                }
                self.is_live = true;
            }
            Err(rejection) if rejection.code() == pb::Code::Unrecoverable => {
                self.replica = Replica::new(self.scope);
                self.subscribe();
            }
            // The project of this client does not exist yet.
            Err(rejection) => assert_eq!(rejection.code(), pb::Code::NotFound),
        }
    }

    fn answered(&mut self, id: u32, answer: Result<Box<pb::Ok>, pm_server::client::Rejection>) {
        let mutate = self
            .asked
            .remove(&id)
            .expect("it was asked, and is answered once");
        match answer {
            Ok(ok) => {
                if self.is_live && self.scope == Scope::Tenant {
                    assert!(ok.rev <= self.replica.rev(), "an answer overtook its event");
                }
                let first = self.answers.entry(mutate).or_insert_with(|| (*ok).clone());
                assert_eq!(
                    (first.rev, &first.result),
                    (ok.rev, &ok.result),
                    "answered otherwise"
                );
            }
            Err(rejection) if rejection.is_temporary() => self.unsent.push(mutate),
            Err(rejection) if rejection.code() == pb::Code::MutationReused => self.refused += 1,
            Err(_) => {
                self.refused += 1;
                let answered = self.answers.get(&mutate);
                assert!(answered.is_none(), "refused after it was answered");
            }
        }
    }

    /// What the replica should be when everything has arrived.
    pub fn expected(&self, whole: &Backlog) -> Backlog {
        let mut part = Backlog::default();
        let covered = |project: Id| self.scope.covers(project);
        let projects = whole.projects().filter(|project| covered(project.id));
        projects.for_each(|project| part.insert_project(project.clone()));
        let items = whole.items().filter(|item| covered(item.project));
        items.for_each(|item| part.insert_item(item.clone()));
        part
    }
}
