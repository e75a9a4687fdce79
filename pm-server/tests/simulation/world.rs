use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt;
use pm_core::{Identity, Tick};
use pm_server::{
    domain::Mutation,
    r#gen as pb,
    store::{Log, MemoryLog, Scope},
    sync::{Hub, RingLimits, apply},
    wire,
    ws::{Action, Connection, Opened, SocketSettings},
};
use prost::Message;

use crate::{
    client::Client,
    support::{edits::Edits, schema},
};

const CLIENTS: usize = 6;
const WALL_US: i64 = 1_700_000_000_000_000;

/// One server, its clients, and the network between them.
#[derive(Debug)]
pub struct World {
    rng: Rng,
    edits: Edits,
    now: Tick,
    log: Arc<MemoryLog>,
    hub: Hub,
    submitted: VecDeque<Submitted>,
    clients: Vec<Client>,
    lines: Vec<Option<Line>>,
    lives: u64,
    seen: Seen,
}

/// A connection with what is on its way.
#[derive(Debug)]
struct Line {
    life: u64,
    connection: Connection,
    up: VecDeque<Bytes>,
    down: VecDeque<Bytes>,
    todo: Vec<Action>,
    /// A reader that does not read, for this many turns.
    stalled: usize,
}

#[derive(Debug)]
struct Submitted {
    client: usize,
    life: u64,
    frame: u32,
    mutation: Mutation,
}

/// What a run went through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    events: u64,
    answered: usize,
    refused: usize,
    resumed: usize,
    snapshots: usize,
    broken: usize,
    restarts: usize,
    goodbyes: usize,
    pages: usize,
    compared: usize,
}

impl std::iter::Sum for Seen {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            events: sum.events + one.events,
            answered: sum.answered + one.answered,
            refused: sum.refused + one.refused,
            resumed: sum.resumed + one.resumed,
            snapshots: sum.snapshots + one.snapshots,
            broken: sum.broken + one.broken,
            restarts: sum.restarts + one.restarts,
            goodbyes: sum.goodbyes + one.goodbyes,
            pages: sum.pages + one.pages,
            compared: sum.compared + one.compared,
        })
    }
}

impl Seen {
    /// A simulation in which nothing happens proves nothing.
    pub fn assert_eventful(&self, steps: usize) {
        // Far below what a run has; `steps` is as many as it takes for one of each.
        let enough = |count: usize, steps_for_one: usize| count * steps_for_one >= steps;
        let events = usize::try_from(self.events).expect("there is memory for them");
        assert!(enough(events, 50) && enough(self.answered, 50), "{self:?}");
        assert!(
            enough(self.refused, 60) && enough(self.compared, 2000),
            "{self:?}"
        );
        assert!(
            enough(self.resumed, 1500) && enough(self.snapshots, 3000),
            "{self:?}"
        );
        assert!(
            enough(self.broken, 600) && enough(self.pages, 300),
            "{self:?}"
        );
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut edits = Edits::new(rng.u64(..));
        let log = Arc::new(MemoryLog::new(edits.id()));
        let hub = hub(&log);
        let clients = (0..CLIENTS).map(|_| Client::new(Scope::Tenant)).collect();
        Self {
            rng,
            edits,
            now: Tick::from_nanos(1 << 40),
            log,
            hub,
            submitted: VecDeque::new(),
            clients,
            lines: (0..CLIENTS).map(|_| None).collect(),
            lives: 0,
            seen: Seen::default(),
        }
    }

    /// One thing happens.
    pub fn step(&mut self) {
        let at = self.rng.usize(..CLIENTS);
        match self.rng.u16(..4000) {
            0 => self.restart(),
            1..=5 => self.break_line(at),
            6..=8 => self.drain(at),
            9..=12 => self.change_scope(at),
            13..=24 => self.pass_time(),
            25..=40 => self.stall(at),
            41..=50 => self.clients[at].subscribe(),
            51..=80 => self.clients[at].repeat(),
            81..=400 => self.edit(at),
            401..=800 => self.connect(at),
            801..=1100 => self.clients[at].send(),
            1101..=1700 => self.send_up(at),
            1701..=2300 => self.serve(at),
            2301..=2800 => self.carry_out(at),
            2801..=3100 => self.write(),
            _ => self.deliver_down(at),
        }
    }

    /// Nothing new happens and everything arrives; then all are the same.
    pub fn settle(&mut self) {
        for _ in 0..2000 {
            for at in 0..CLIENTS {
                if let Some(line) = &mut self.lines[at] {
                    line.stalled = 0;
                }
                self.connect(at);
                self.clients[at].send();
                self.send_up(at);
                self.serve(at);
                self.carry_out(at);
                self.write();
                self.deliver_down(at);
            }
            let quiet = |line: &Option<Line>| {
                line.as_ref()
                    .is_some_and(|line| line.up.is_empty() && line.down.is_empty())
            };
            if self.lines.iter().all(quiet)
                && self.submitted.is_empty()
                && self
                    .clients
                    .iter()
                    .all(|client| client.is_idle() && self.has_all(client))
            {
                return self.compare_all();
            }
        }
        panic!("it does not settle");
    }

    pub fn seen(&self) -> Seen {
        let mut seen = self.seen.clone();
        seen.events = self.hub.head().rev;
        for client in &self.clients {
            seen.answered += client.answers.len();
            seen.refused += client.refused;
            seen.resumed += client.resumed;
            seen.snapshots += client.restarted;
        }
        seen
    }

    /// The log, as bytes.
    pub fn history(&self) -> Vec<Bytes> {
        let page = self
            .log
            .read(Scope::Tenant, 0, usize::MAX)
            .now_or_never()
            .unwrap()
            .unwrap();
        page.entries.into_iter().map(|entry| entry.event).collect()
    }

    fn has_all(&self, client: &Client) -> bool {
        let page = self.log.read(client.scope, client.replica.rev(), 1);
        page.now_or_never().unwrap().unwrap().entries.is_empty()
    }

    fn compare_all(&self) {
        let whole = self.log.backlog();
        for client in &self.clients {
            let expected = client.expected(&whole);
            assert!(
                client.replica.backlog() == &expected,
                "it ended as something else"
            );
        }
        // Every answered mutation is in the log, in one place.
        let mut revs: HashMap<Bytes, Vec<u64>> = HashMap::new();
        for event in self.history() {
            let event = pb::Event::decode(event).unwrap();
            assert!(wire::event::event(&event).is_some());
            revs.entry(event.mutation_id).or_default().push(event.rev);
        }
        for revs in revs.values() {
            assert!(
                revs.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "applied twice: {revs:?}"
            );
        }
        for (mutation, ok) in self.clients.iter().flat_map(|client| &client.answers) {
            if let Some(revs) = revs.get(&mutation.mutation_id) {
                assert_eq!(revs.last(), Some(&ok.rev), "acknowledged at another rev");
            }
        }
    }

    fn restart(&mut self) {
        self.seen.restarts += 1;
        // What was queued is lost, or was committed without anybody being told.
        if self.rng.bool() {
            let lost: Vec<_> = self
                .submitted
                .drain(..)
                .map(|submitted| submitted.mutation)
                .collect();
            let _ = apply(&*self.log, &self.hub, &lost).now_or_never().unwrap();
        }
        self.submitted.clear();
        for at in 0..CLIENTS {
            self.break_line(at);
        }
        self.hub = hub(&self.log);
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_millis(self.rng.u64(1..9_000));
        for line in self.lines.iter_mut().flatten() {
            line.connection.tick(self.now);
        }
    }

    fn break_line(&mut self, at: usize) {
        if self.lines[at].take().is_some() {
            self.seen.broken += 1;
            self.clients[at].disconnect();
        }
    }

    fn drain(&mut self, at: usize) {
        if let Some(line) = &mut self.lines[at] {
            line.connection.drain(Duration::from_millis(5));
        }
    }

    fn stall(&mut self, at: usize) {
        let turns = self.rng.usize(1..400);
        if let Some(line) = &mut self.lines[at] {
            line.stalled = turns;
        }
    }

    /// Another scope is another client.
    fn change_scope(&mut self, at: usize) {
        let projects = self
            .log
            .snapshot(Scope::Tenant)
            .now_or_never()
            .unwrap()
            .unwrap()
            .projects;
        self.break_line(at);
        let client = &mut self.clients[at];
        client.scope = match self.rng.usize(..=projects.len()) {
            n if n < projects.len() && self.rng.bool() => Scope::Project(projects[n].id),
            _ => Scope::Tenant,
        };
        client.replica = pm_server::client::Replica::new(client.scope);
    }

    fn edit(&mut self, at: usize) {
        if self.rng.u8(..) < 25 {
            let snapshot = self
                .log
                .snapshot(Scope::Tenant)
                .now_or_never()
                .unwrap()
                .unwrap();
            self.edits.look_at(&snapshot.items);
        }
        let mutation = self.edits.mutation();
        self.clients[at].unsent.push(schema::mutate(&mutation));
    }

    fn connect(&mut self, at: usize) {
        if self.lines[at].is_some() {
            return;
        }
        self.lives += 1;
        let settings = SocketSettings {
            max_in_flight: 6,
            max_lag: 150,
            page: 7,
            coalesce_bytes: 400,
            ..SocketSettings::default()
        };
        self.lines[at] = Some(Line {
            life: self.lives,
            connection: Connection::new("sim", settings, self.now),
            up: VecDeque::new(),
            down: VecDeque::new(),
            todo: vec![],
            stalled: 0,
        });
        self.clients[at].connect();
    }

    fn send_up(&mut self, at: usize) {
        let (Some(line), Some(session)) = (&mut self.lines[at], &mut self.clients[at].session)
        else {
            return;
        };
        line.up.extend(session.take());
        if line.connection.wants_input()
            && let Some(message) = line.up.pop_front()
        {
            line.connection.receive(message, self.now, WALL_US);
        }
    }

    /// The server's turn with one connection: what is due goes out as far as there is room.
    fn serve(&mut self, at: usize) {
        let Some(line) = &mut self.lines[at] else {
            return;
        };
        while line.down.len() < 3 {
            let message = line.connection.next_message(self.now, WALL_US);
            while let Some(action) = line.connection.next_action() {
                match action {
                    Action::Submit { frame, mutation } => {
                        let life = line.life;
                        self.submitted.push_back(Submitted {
                            client: at,
                            life,
                            frame,
                            mutation,
                        });
                    }
                    action => line.todo.push(action),
                }
            }
            let Some(message) = message else { break };
            line.down.push_back(message);
        }
    }

    fn carry_out(&mut self, at: usize) {
        let Some(line) = &mut self.lines[at] else {
            return;
        };
        if line.todo.is_empty() {
            return;
        }
        match line.todo.swap_remove(self.rng.usize(..line.todo.len())) {
            Action::Open { .. } => {
                let identity = Identity::new(format!("user {at}"))
                    .with_tenant("demo")
                    .with_roles(["editor"]);
                let expires = self.now + Duration::from_secs(86_400);
                let opened = Opened {
                    identity,
                    expires,
                    hub: self.hub.clone(),
                };
                line.connection.opened(Ok(opened), self.now, WALL_US);
            }
            Action::Snapshot { frame, scope } => {
                let snapshot = self.log.snapshot(scope).now_or_never().unwrap();
                line.connection.snapshotted(frame, scope, snapshot);
            }
            Action::Read {
                scope,
                after,
                limit,
            } => {
                self.seen.pages += 1;
                let page = self.log.read(scope, after, limit).now_or_never().unwrap();
                line.connection.read(scope, page);
            }
            Action::Submit { .. } => unreachable!("it went to the writer"),
            Action::Ask { .. } => unreachable!("there is no gate"),
        }
    }

    fn write(&mut self) {
        let size = self.rng.usize(1..=64).min(self.submitted.len());
        let group: Vec<_> = self.submitted.drain(..size).collect();
        let mutations: Vec<_> = group
            .iter()
            .map(|submitted| submitted.mutation.clone())
            .collect();
        let results = apply(&*self.log, &self.hub, &mutations)
            .now_or_never()
            .unwrap();
        for (submitted, result) in group.into_iter().zip(results) {
            let line = self.lines[submitted.client].as_mut();
            if let Some(line) = line.filter(|line| line.life == submitted.life) {
                line.connection.submitted(submitted.frame, &result);
            }
        }
    }

    fn deliver_down(&mut self, at: usize) {
        let Some(line) = &mut self.lines[at] else {
            return;
        };
        if line.stalled > 0 {
            line.stalled -= 1;
            return;
        }
        let Some(message) = line.down.pop_front() else {
            if line.connection.end().is_some() {
                self.seen.goodbyes += 1;
                self.break_line(at);
            }
            return;
        };
        if !self.clients[at].receive(message) {
            self.seen.goodbyes += 1;
            return self.break_line(at);
        }
        self.compare(at);
    }

    /// A replica that stands where the server stands is what the server is.
    fn compare(&mut self, at: usize) {
        let client = &self.clients[at];
        let head = self.hub.head().rev;
        if client.is_live && client.replica.rev() == head && self.rng.u8(..) < 64 {
            self.seen.compared += 1;
            let expected = client.expected(&self.log.backlog());
            assert!(
                client.replica.backlog() == &expected,
                "at rev {head} it is something else"
            );
        }
    }
}

/// A ring so small that everybody falls off it now and then.
fn hub(log: &MemoryLog) -> Hub {
    let position = log.head().now_or_never().unwrap().unwrap();
    Hub::new(
        position,
        RingLimits {
            events: 24,
            bytes: 1 << 20,
        },
    )
}
