//! The server process is killed at random points while it is written to. What it acknowledged is there,
//! nothing is there twice, and whoever watched has seen everything once, in order.
//!
//! `PM_TEST_LONG=1` kills it 50 times.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use pm_server::{
    client::{Connection, Finding, Incoming, Options, Replica},
    domain::{Fields, Id, Kind, Operation, Place, Status},
    r#gen as pb,
    store::Scope,
};
use support::{
    edits, schema,
    server::{Server, connect},
};
use tokio::sync::watch;

const IN_FLIGHT: usize = 64;
const PER_ROUND: usize = 300;

/// What was asked for, and what came of it.
#[derive(Debug, Default)]
struct Ledger {
    wanted: Vec<pb::Mutate>,
    /// Acknowledged, with the rev.
    acknowledged: HashMap<usize, u64>,
}

impl Ledger {
    fn next(&self, asked: &BTreeMap<u32, usize>) -> Option<usize> {
        let asked: Vec<_> = asked.values().collect();
        (0..self.wanted.len())
            .find(|at| !self.acknowledged.contains_key(at) && !asked.contains(&at))
    }

    /// Sends what is not acknowledged until `enough` more is, or the connection breaks.
    async fn write(&mut self, mut connection: Connection, enough: usize) {
        let mut asked = BTreeMap::new();
        let mut left = enough;
        while left > 0 {
            while asked.len() < IN_FLIGHT
                && let Some(at) = self.next(&asked)
            {
                let id = connection.mutate(self.wanted[at].clone()).unwrap();
                asked.insert(id, at);
            }
            if asked.is_empty() {
                return;
            }
            let Ok(incoming) = connection.next().await else {
                return;
            };
            if let Incoming::Answered { id, answer } = incoming {
                let at = asked.remove(&id).unwrap();
                let rev = answer
                    .unwrap_or_else(|refused| panic!("{at}: {refused}"))
                    .rev;
                assert_eq!(*self.acknowledged.entry(at).or_insert(rev), rev);
                left -= 1;
            }
        }
    }
}

fn id(number: usize) -> Id {
    Id::from_bytes(((0xabc0_u128 << 64) | (number as u128 + 1)).to_be_bytes())
}

/// A project, then stories with tasks and changes of them: each needs one before it.
fn wanted(count: usize) -> Vec<pb::Mutate> {
    let fields = |title: String| Fields {
        title,
        ..Fields::default()
    };
    let operation = |n: usize| match n % 3 {
        _ if n == 0 => Operation::CreateProject {
            id: id(0),
            name: "killed".to_owned(),
        },
        1 => Operation::CreateItem {
            id: id(n),
            project: id(0),
            parent: None,
            kind: Kind::Story,
            fields: fields(format!("story {n}")),
            place: Place::Last,
        },
        2 => Operation::CreateItem {
            id: id(n),
            project: id(0),
            parent: Some(id(n - 1)),
            kind: Kind::Task,
            fields: fields(format!("task {n}")),
            place: Place::First,
        },
        _ => Operation::UpdateItem {
            id: id(n - 1),
            patch: pm_server::domain::Patch {
                status: Some(Status::Done),
                ..Default::default()
            },
            expected: Some(1),
        },
    };
    let mutate = |n| schema::mutate(&edits::mutation(id(1_000_000 + n), 0, operation(n)));
    (0..count).map(mutate).collect()
}

/// Watches from the first event on, over every restart, until it has seen `until`.
async fn watch_all(options: Options, mut until: watch::Receiver<Option<u64>>) -> Replica {
    let mut replica: Option<Replica> = None;
    loop {
        let mut connection = connect(&options).await;
        let head = connection.head().unwrap();
        let replica = replica.get_or_insert_with(|| Replica::at_start(Scope::Tenant, head.epoch));
        connection
            .subscribe(Scope::Tenant, replica.position())
            .unwrap();
        loop {
            if until.borrow().is_some_and(|rev| replica.rev() >= rev) {
                return replica.clone();
            }
            let incoming = tokio::select! {
                incoming = connection.next() => incoming,
                _ = until.changed() => continue,
            };
            match incoming {
                Ok(Incoming::Event(event)) => {
                    let expected = replica.rev() + 1;
                    assert_eq!(replica.apply(&event), Finding::Applied);
                    assert_eq!(event.rev, expected, "each once, in order");
                }
                Ok(Incoming::Answered { answer, .. }) => {
                    answer.expect("it can be resumed, always");
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
// A test has no flags.
#[allow(clippy::disallowed_methods)]
async fn what_was_acknowledged_survives_being_killed() {
    let rounds = if std::env::var("PM_TEST_LONG").is_ok() {
        50
    } else {
        6
    };
    let mut rng = Rng::with_seed(fastrand::u64(..));
    println!("seed {}", rng.get_seed());
    let mut server = Server::start().await;
    let (seen_all, until) = watch::channel(None);
    let watcher = tokio::spawn(watch_all(server.options(), until));

    let mut ledger = Ledger {
        wanted: wanted(rounds * PER_ROUND),
        ..Ledger::default()
    };
    for _ in 0..rounds {
        let connection = server.connect().await;
        // Killed with up to 64 on their way: queued, being committed, committed and not answered.
        ledger.write(connection, rng.usize(1..PER_ROUND)).await;
        server.kill();
        server.restart();
    }
    let before = ledger.acknowledged.clone();
    ledger.write(server.connect().await, usize::MAX).await;
    assert_eq!(ledger.acknowledged.len(), ledger.wanted.len());
    assert!(
        before
            .iter()
            .all(|(at, rev)| ledger.acknowledged[at] == *rev)
    );

    // All again: each is answered as it was, and nothing happens.
    let first = std::mem::take(&mut ledger.acknowledged);
    ledger.write(server.connect().await, usize::MAX).await;
    assert_eq!(ledger.acknowledged, first);

    let head = server.connect().await.head().unwrap().rev;
    let mut revs: Vec<_> = first.values().copied().collect();
    revs.sort_unstable();
    assert_eq!(
        revs,
        (1..=head).collect::<Vec<_>>(),
        "one event each, none twice, none besides"
    );
    seen_all.send(Some(head)).unwrap();
    let replica = watcher.await.unwrap();
    assert_eq!(replica.rev(), head);
    let items = ledger.wanted.len() - 1 - (ledger.wanted.len() - 1) / 3;
    assert_eq!(replica.backlog().items().count(), items);
    server.kill();
    server.check_integrity("demo").await;
    println!(
        "{} mutations, {} rounds, head {head}",
        ledger.wanted.len(),
        rounds
    );
}
