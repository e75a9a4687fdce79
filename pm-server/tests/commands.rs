//! `import` and `watch` against the real socket, on a log in memory that outlives its servers.
#![allow(clippy::unwrap_used)] // the lint takes what tests share for no test

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, extract::WebSocketUpgrade, routing::get};
use pm_core::{ClientIp, Clock, Identity, ManualTime, Tick};
use pm_resilience::shutdown::{Shutdown, ShutdownSettings};
use pm_server::{
    cli::{
        Error,
        import::{ImportOptions, import},
        watch::{WatchOptions, watch},
    },
    client::{Connection, Incoming, Options, Replica, Token},
    domain::Id,
    r#gen as pb,
    guard::{Guard, GuardSettings},
    store::{MemoryLog, Scope},
    sync::RingLimits,
    tenant::Tenant,
    ws::{
        Rejection, SocketSettings,
        socket::{Admit, Admitted, Sockets, Visit, upgrade},
    },
};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, task::JoinHandle};

const PLAN: &[u8] = include_bytes!("../../examples/plans/roadmap.md");

/// Lets everybody with the right token into one tenant.
struct Door(Arc<Tenant>);

#[async_trait]
impl Admit for Door {
    async fn admit(&self, token: &str, tenant: &str) -> Result<Admitted, Rejection> {
        if token != "secret" {
            return Err(Rejection::Token("it is not the secret".to_owned()));
        }
        if tenant != self.0.name() {
            return Err(Rejection::UnknownTenant("no such tenant".to_owned()));
        }
        Ok(Admitted {
            identity: Identity::new("alice")
                .with_tenant("demo")
                .with_roles(["editor"]),
            expires: Tick::MAX,
            tenant: self.0.clone(),
        })
    }
}

/// A server on threads of its own, so that it can be killed with all its sockets.
struct Server {
    address: SocketAddr,
    runtime: Runtime,
}

impl Server {
    fn start(log: &Arc<MemoryLog>, address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let log = log.clone();
        let (ready, started) = std::sync::mpsc::channel();
        let address = address.to_owned();
        runtime.spawn(async move {
            let tenant = Tenant::open("demo", log, RingLimits::default(), Clock::system());
            let door = Door(Arc::new(tenant.await.unwrap()));
            let drain = Shutdown::new(ShutdownSettings::default()).unwrap().drain();
            let sockets = Sockets {
                settings: Arc::new(SocketSettings::default()),
                door: Arc::new(door),
                guard: Guard::in_memory(GuardSettings::default(), Clock::system()).unwrap(),
                clock: Clock::system(),
                drain,
            };
            let visit = || Visit {
                client: ClientIp::new([127, 0, 0, 1].into()),
                id: String::new(),
                token: None,
                gate: None,
                permit: None,
            };
            let route =
                get(async move |request: WebSocketUpgrade| upgrade(request, sockets, visit()));
            let listener = TcpListener::bind(address).await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            let served = axum::serve(listener, Router::new().route("/ws", route));
            served.await.unwrap();
        });
        Self {
            address: started.recv().unwrap(),
            runtime,
        }
    }

    fn kill(self) {
        // Ends every task where it stands and waits for it, which no asynchronous task may.
        let Self { runtime, .. } = self;
        let end = move || runtime.shutdown_timeout(Duration::from_secs(10));
        std::thread::spawn(end).join().unwrap();
    }

    fn options(&self, token: &str, tenant: &str) -> Options {
        let url = format!("ws://{}/ws", self.address);
        Options::new(url, tenant, Token::new(token))
    }
}

/// What a command wrote so far.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// A command's own time. It passes only as far as the command sleeps between two connections: what
/// is farther is the deadline of an answer that is on its way.
struct Time(Clock, ManualTime);

impl Time {
    fn new() -> Self {
        let (clock, time) = Clock::manual();
        Self(clock, time)
    }

    fn pass(&self) {
        let Self(clock, time) = self;
        let wait = time.next_deadline().unwrap_or(Tick::MAX);
        let wait = wait.saturating_duration_since(clock.now());
        if wait < Duration::from_secs(10) {
            time.advance(wait);
        }
    }
}

async fn until(what: &str, times: &[&Time], so: impl Fn() -> bool) {
    for _ in 0..3_000_000 {
        if so() {
            return;
        }
        tokio::task::yield_now().await;
        times.iter().for_each(|time| time.pass());
    }
    panic!("never: {what}");
}

/// A `watch` that runs beside the test.
struct Watcher {
    time: Time,
    out: Output,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Watcher {
    fn start(options: WatchOptions) -> Self {
        let (time, out) = (Time::new(), Output::default());
        let (stop, stopped) = oneshot::channel();
        let (clock, mut to) = (time.0.clone(), out.clone());
        let task = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            watch(&options, &clock, &mut to, stop).await
        });
        Self {
            time,
            out,
            stop,
            task,
        }
    }

    async fn until(&self, what: &str) {
        let so = || self.out.text().contains(what) || self.task.is_finished();
        until(what, &[&self.time], so).await;
        assert!(self.out.text().contains(what), "{}", self.out.text());
    }

    async fn stop(self) -> String {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        self.out.text()
    }
}

fn watching(server: &Server, since_start: bool) -> WatchOptions {
    WatchOptions {
        server: server.options("secret", "demo"),
        since_start,
        colour: false,
    }
}

fn importing(server: &Server) -> ImportOptions {
    ImportOptions {
        server: server.options("secret", "demo"),
        project: None,
        bar: false,
    }
}

fn log() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(Id::from_bytes([7; 16])))
}

/// The revs of the lines that are events.
fn revs(text: &str) -> Vec<u64> {
    text.lines()
        .filter(|line| line.starts_with(' '))
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test]
async fn a_watcher_sees_every_item_of_an_import_and_a_second_import_is_nothing_new() {
    let server = Server::start(&log(), "127.0.0.1:0");
    let watcher = Watcher::start(watching(&server, false));
    watcher.until("demo: 0 projects, 0 items, at rev 0").await;
    let (clock, _time) = Clock::manual();
    let mut out = Vec::new();
    let options = importing(&server);
    let report = import(&options, &clock, PLAN, "roadmap.md", &mut out)
        .await
        .unwrap();
    let items = report.epics + report.stories + report.tasks;
    assert!(items > 20);
    assert_eq!(report.new, items);
    let out = String::from_utf8(out).unwrap();
    let (epics, stories, tasks) = (report.epics, report.stories, report.tasks);
    let skipped = report.skipped.len();
    let last = format!(
        "imported: {epics} epics, {stories} stories, {tasks} tasks, {skipped} skipped, {items} new"
    );
    assert_eq!(out.lines().last().unwrap(), last);

    let again = import(&options, &clock, PLAN, "roadmap.md", &mut Vec::new()).await;
    let again = again.unwrap();
    assert_eq!(again.new, 0);
    assert_eq!(
        (again.epics, again.stories, again.tasks),
        (epics, stories, tasks)
    );

    let all = items + 1;
    until("all events", &[&watcher.time], || {
        revs(&watcher.out.text()).len() == all
    })
    .await;
    let text = watcher.stop().await;
    let all = all as u64;
    assert_eq!(revs(&text), (1..=all).collect::<Vec<_>>());
    let end = format!("watched: {all} events, revs 1–{all}, none missed, none twice");
    assert_eq!(text.lines().last().unwrap(), end);

    let late = Watcher::start(watching(&server, true));
    until("all events", &[&late.time], || {
        revs(&late.out.text()).len() as u64 == all
    })
    .await;
    let text = late.stop().await;
    assert!(text.starts_with("demo: from the start\n"), "{text}");
    server.kill();
}

#[tokio::test]
async fn what_somebody_deleted_is_not_imported_again_and_that_is_said() {
    let server = Server::start(&log(), "127.0.0.1:0");
    let (clock, _time) = Clock::manual();
    let options = importing(&server);
    let plan = "# Plan\n## Epic\n- [ ] gone\n- [ ] kept\n";
    import(
        &options,
        &clock,
        plan.as_bytes(),
        "plan.md",
        &mut Vec::new(),
    )
    .await
    .unwrap();
    delete_item(&options.server, "gone").await;

    let edited = plan.replace("- [ ] gone", "- [x] gone\n  - [ ] added");
    let mut out = Vec::new();
    let report = import(&options, &clock, edited.as_bytes(), "plan.md", &mut out)
        .await
        .unwrap();
    assert_eq!((report.stories, report.tasks, report.new), (1, 0, 0));
    let lines: Vec<_> = report.deleted.iter().map(|deleted| deleted.line).collect();
    assert_eq!(lines, [3, 4]);
    let out = String::from_utf8(out).unwrap();
    assert!(
        out.ends_with(
            "not imported: line 3, \"gone\": it was deleted on the server\n\
             not imported: line 4, \"added\": what it is part of was deleted on the server\n\
             imported: 1 epics, 1 stories, 0 tasks, 0 skipped, 0 new\n"
        ),
        "{out}"
    );
    server.kill();
}

/// Deletes the item with this title, as another client would.
async fn delete_item(server: &Options, title: &str) {
    let clock = Clock::system();
    let mut connection = Connection::open(server, &clock).await.unwrap();
    connection.subscribe(Scope::Tenant, None).unwrap();
    let mut replica = Replica::new(Scope::Tenant);
    let mut loaded = false;
    while !loaded {
        if let Incoming::Snapshot(part) = connection.next().await.unwrap() {
            loaded = replica.load(part);
        }
    }
    let mut items = replica.backlog().items();
    let item = items.find(|item| item.fields.title == title).unwrap();
    let delete = pb::DeleteItem {
        id: bytes::Bytes::copy_from_slice(item.id.as_bytes()),
        ..pb::DeleteItem::default()
    };
    let mutate = pb::Mutate {
        mutation_id: bytes::Bytes::copy_from_slice(clock.uuid_v7().as_bytes()),
        operation: Some(pb::mutate::Operation::DeleteItem(delete)),
    };
    let id = connection.mutate(mutate).unwrap();
    let mut deleted = false;
    while !deleted {
        if let Incoming::Answered { id: other, answer } = connection.next().await.unwrap() {
            answer.unwrap();
            deleted = other == id;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_costs_nothing_but_time() {
    const STORIES: usize = 3_000;
    let stories = (0..STORIES).map(|n| format!("- [ ] story {n}\n  - [x] task\n"));
    let plan = "# Big\n## Epic\n".to_owned() + &stories.collect::<String>();
    let log = log();
    let mut server = Server::start(&log, "127.0.0.1:0");
    let address = server.address.to_string();
    let watcher = Watcher::start(watching(&server, false));
    watcher.until("at rev 0").await;

    let time = Time::new();
    let (clock, out) = (time.0.clone(), Output::default());
    let (options, mut to) = (importing(&server), out.clone());
    let task =
        tokio::spawn(
            async move { import(&options, &clock, plan.as_bytes(), "big.md", &mut to).await },
        );
    for round in 1..=3 {
        let seen = || revs(&watcher.out.text()).len();
        until("some events", &[&time, &watcher.time], || {
            seen() > round * 1_000
        })
        .await;
        server.kill();
        server = Server::start(&log, &address);
    }
    until("the import", &[&time, &watcher.time], || task.is_finished()).await;
    let report = task.await.unwrap().unwrap();
    assert_eq!(
        (report.epics, report.stories, report.tasks),
        (1, STORIES, STORIES)
    );
    assert_eq!(report.new, 2 * STORIES + 1, "{}", out.text());
    assert!(out.text().contains("connection lost ("), "{}", out.text());

    let all = 2 * STORIES + 2;
    let seen = || revs(&watcher.out.text()).len();
    until("all events", &[&watcher.time], || seen() == all).await;
    let text = watcher.stop().await;
    assert_eq!(revs(&text), (1..=all as u64).collect::<Vec<_>>());
    assert!(text.contains("nothing missed\n"));
    let end = format!("watched: {all} events, revs 1–{all}, none missed, none twice");
    assert_eq!(text.lines().last().unwrap(), end);
    server.kill();
}

#[tokio::test]
async fn a_server_with_another_past_is_told_from_one_with_a_gap() {
    let first = Server::start(&log(), "127.0.0.1:0");
    let watcher = Watcher::start(watching(&first, false));
    watcher.until("at rev 0").await;
    let address = first.address.to_string();
    first.kill();
    let other = Arc::new(MemoryLog::new(Id::from_bytes([8; 16])));
    let second = Server::start(&other, &address);
    watcher
        .until("the server cannot resume from rev 0; starting from a new snapshot")
        .await;
    let text = watcher.stop().await;
    assert!(
        text.ends_with("watched: no events, none missed, none twice\n"),
        "{text}"
    );
    second.kill();
}

#[tokio::test]
async fn who_may_not_come_in_is_told_why_at_once() {
    let server = Server::start(&log(), "127.0.0.1:0");
    let (clock, _time) = Clock::manual();
    for (token, tenant, said) in [
        (
            "wrong",
            "demo",
            "does not accept the token: it is not the secret",
        ),
        ("secret", "other", "does not know the tenant \"other\""),
    ] {
        let options = WatchOptions {
            server: server.options(token, tenant),
            ..watching(&server, false)
        };
        let mut out = Output::default();
        let never = std::future::pending();
        let error = watch(&options, &clock, &mut out, never).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(out.text(), "");
    }
    server.kill();
}
