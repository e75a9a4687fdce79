//! What a tenant and its sockets cost, over real sockets, against a server in a process of its own.
//!
//! `cargo bench -p pm-server --bench sync`. The client runs on the same two cores.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // it is a program that prints

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    num::NonZeroU32,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use futures_util::stream;
use pm_core::{Clock, Tick, TrustedProxies};
use pm_ratelimit::{Quota, Rules};
use pm_resilience::shutdown::{Shutdown, ShutdownSettings};
use pm_server::{
    app::App,
    auth::{self, Keys},
    client::{Connection, Incoming, Options, Token},
    r#gen as pb,
    guard::{Guard, GuardSettings},
    limits, overload,
    run::run,
    stack::StackSettings,
    store::Scope,
    tenant::{Files, Registry, RegistryLimits, TenantName},
    ws::SocketSettings,
};
use socket2::{Domain, Socket, Type};

const SOCKETS: usize = 1000;
const STALLED: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match args.iter().position(|arg| arg == "--serve") {
        Some(at) => runtime.block_on(serve(Path::new(&args[at + 1]))),
        None => runtime.block_on(measure()),
    }
}

// ---- the server's process ----

/// Serves a folder with small kernel buffers: autotuning would hide a reader that does not read.
async fn serve(folder: &Path) {
    let clock = Clock::system();
    let (keys, _) = Keys::load_or_create(folder).unwrap();
    let storage = Arc::new(Files::new(folder.join("tenants")));
    std::fs::create_dir_all(folder.join("tenants")).unwrap();
    let registry = Registry::new(storage, clock.clone(), RegistryLimits::default());
    registry
        .create(&"demo".parse::<TenantName>().unwrap())
        .await
        .unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_send_buffer_size(8 << 10).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(1024).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(socket.into()).unwrap();
    println!("{}", listener.local_addr().unwrap());
    let file = folder.join("guard.sqlite");
    let settings = GuardSettings {
        rules: rules(),
        ..GuardSettings::default()
    };
    let guard = Guard::open(&file, settings, clock.clone());
    let guard = guard.await.unwrap();
    let settings = StackSettings {
        shed: overload::shed(&clock),
        connections: NonZeroU32::MAX,
        trusted_proxies: TrustedProxies::none(),
        allowed_origins: vec![],
        sockets: SocketSettings::default(),
    };
    let mut shutdown = Shutdown::new(ShutdownSettings::default()).unwrap();
    let app = App::new(registry, Arc::new(keys), guard, clock, &mut shutdown).unwrap();
    let _ = run(listener, app, settings, shutdown, stream::pending()).await;
}

/// The limits that are built in, with more than this one address and user can use up.
fn rules() -> Rules {
    let often = Quota::per_second(1_000_000);
    let mut rules = limits::built_in();
    for name in ["client", "upgrade", "frames", "connection"] {
        rules = limits::with_quota(&rules, name, often).unwrap();
    }
    rules
}

struct Server {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
    clock: Clock,
}

impl Server {
    fn start() -> Self {
        // On a disk: a temporary folder may be in memory, where a sync costs nothing.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--serve")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().parse().unwrap();
        Self {
            child,
            folder,
            address,
            clock: Clock::system(),
        }
    }

    fn options(&self) -> Options {
        let token = auth::local_token(self.folder.path(), "demo", &self.clock).unwrap();
        let url = format!("ws://{}/ws", self.address);
        Options::new(url, "demo", Token::new(token.expose())).with_read_buffer_bytes(1 << 10)
    }

    /// Resident memory in bytes.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            << 10
    }

    /// Open files, sockets among them.
    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- the client's ----

async fn measure() {
    let server = Server::start();
    let mut writer = Connection::open(&server.options(), &server.clock)
        .await
        .unwrap();
    write(&server, &mut writer, 0, 1, 1).await;

    let many = write(&server, &mut writer, 1_000_000, 40_000, 64).await;
    let holds = bar("at least 5000/s", many.rate() >= 5000.0);
    many.report(
        "acknowledged mutations, 64 in flight, each fully synced",
        &holds,
    );
    let single = write(&server, &mut writer, 2_000_000, 2_000, 1).await;
    let holds = bar(
        "p50 at most 2 ms",
        single.at(0.5) <= Duration::from_millis(2),
    );
    single.report(
        "acknowledged mutations, 1 in flight, each fully synced",
        &holds,
    );
    idle().await;
    stalled().await;
}

/// How long each of many took, and all of them together.
struct Times {
    each: Vec<Duration>,
    all: Duration,
}

impl Times {
    fn at(&self, share: f64) -> Duration {
        let mut sorted = self.each.clone();
        sorted.sort_unstable();
        sorted[((sorted.len() - 1) as f64 * share) as usize]
    }

    fn rate(&self) -> f64 {
        self.each.len() as f64 / self.all.as_secs_f64()
    }

    fn report(&self, what: &str, bar: &str) {
        let (rate, p50, p99) = (self.rate(), self.at(0.5), self.at(0.99));
        println!("sync | {what} | {rate:.0}/s | p50 {p50:.2?} | p99 {p99:.2?} | {bar}");
    }
}

/// What it must hold, and whether it does.
fn bar(what: &str, holds: bool) -> String {
    format!("{what}: {}", if holds { "holds" } else { "FALLS SHORT" })
}

/// Creates `count` stories, `in_flight` at a time.
async fn write(
    server: &Server,
    connection: &mut Connection,
    first: u128,
    count: usize,
    in_flight: usize,
) -> Times {
    let clock = &server.clock;
    let start = clock.now();
    let mut sent: HashMap<u32, Tick> = HashMap::new();
    let mut each = Vec::with_capacity(count);
    let mut next = 0;
    while each.len() < count {
        while next < count && sent.len() < in_flight {
            let id = connection.mutate(create(first + next as u128)).unwrap();
            sent.insert(id, clock.now());
            next += 1;
        }
        if let Incoming::Answered { id, answer } = connection.next().await.unwrap() {
            answer.unwrap();
            each.push(
                clock
                    .now()
                    .saturating_duration_since(sent.remove(&id).unwrap()),
            );
        }
    }
    Times {
        each,
        all: clock.now().saturating_duration_since(start),
    }
}

fn create(number: u128) -> pb::Mutate {
    use pb::mutate::Operation;
    let id = |number: u128| bytes::Bytes::copy_from_slice(&number.to_be_bytes());
    let project = id(1 << 100);
    let operation = if number == 0 {
        Operation::CreateProject(pb::CreateProject {
            id: project,
            name: "bench".to_owned(),
        })
    } else {
        Operation::CreateItem(pb::CreateItem {
            id: id(number),
            project_id: project,
            kind: pb::Kind::Story as i32,
            fields: Some(pb::Fields {
                title: format!("story {number} of a plan of ordinary size"),
                description: "As a user I want this, so that something is better.".to_owned(),
                labels: vec!["bench".to_owned()],
                ..pb::Fields::default()
            }),
            ..pb::CreateItem::default()
        })
    };
    pb::Mutate {
        mutation_id: id(number | 1 << 110),
        operation: Some(operation),
    }
}

async fn idle() {
    let server = Server::start();
    // What only the first ones cost, such as opening the tenant, is not theirs.
    let _first = sockets(&server, 20).await;
    let (before, files) = (server.resident(), server.files());
    let _open = sockets(&server, SOCKETS).await;
    assert_eq!(server.files() - files, SOCKETS);
    let each = kib(server.resident().saturating_sub(before)) / SOCKETS as f64;
    let all = kib(server.resident()) / 1024.0;
    let holds = bar("at most 8 KB", each * 1024.0 <= 8000.0);
    println!(
        "sync | idle subscribed socket, {SOCKETS} of them | {each:.1} KiB each, {all:.0} MiB in all | {holds}"
    );
}

#[allow(clippy::cast_precision_loss)] // shown with one digit
fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

/// Connections that follow the project from now on.
async fn sockets(server: &Server, count: usize) -> Vec<Connection> {
    let options = server.options();
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = Connection::open(&options, &server.clock).await.unwrap();
        let head = connection.head();
        connection.subscribe(Scope::Tenant, head).unwrap();
        while !matches!(connection.next().await.unwrap(), Incoming::Answered { .. }) {}
        open.push(connection);
    }
    open
}

/// Some readers stop reading while another goes on; and none of them, to compare with.
async fn stalled() {
    let (quiet, grown_without, _) = beside_stalled(0).await;
    let (beside, grown, closed) = beside_stalled(STALLED).await;
    quiet.report("event seen by a reader, nobody stalled", "to compare with");
    let holds = bar(
        "p50 within 1.5 times",
        beside.at(0.5) <= quiet.at(0.5).mul_f64(1.5),
    );
    beside.report(
        &format!("event seen by a reader, {STALLED} stalled beside it"),
        &holds,
    );
    let held = kib(grown.saturating_sub(grown_without)) / STALLED as f64;
    let holds = bar(
        "at most 64 KB, 10 s",
        held <= 62.5 && closed <= Duration::from_secs(10),
    );
    println!("sync | stalled reader | {held:.1} KiB each, closed after {closed:.1?} | {holds}");
}

/// How long events took to be seen, by how much the server grew meanwhile, and when it had closed
/// the stalled ones.
async fn beside_stalled(count: usize) -> (Times, u64, Duration) {
    let server = Server::start();
    let clock = &server.clock;
    let mut writer = Connection::open(&server.options(), clock).await.unwrap();
    write(&server, &mut writer, 0, 1, 1).await;
    let mut live = sockets(&server, 1).await.remove(0);
    let (before, files) = (server.resident(), server.files());
    let mut deaf = Vec::new();
    for _ in 0..count {
        deaf.push(subscribe_and_stop(&server).await);
    }
    let start = clock.now();
    let times = write_watched(&server, &mut writer, &mut live, 1).await;
    let grown = server.resident().saturating_sub(before);
    until(&server, |server| server.files() <= files).await;
    (times, grown, clock.now().saturating_duration_since(start))
}

/// From being sent by one to being seen by another.
async fn write_watched(
    server: &Server,
    writer: &mut Connection,
    live: &mut Connection,
    first: u128,
) -> Times {
    const COUNT: usize = 3000;
    let clock = &server.clock;
    let start = clock.now();
    let mut sent: HashMap<u128, Tick> = HashMap::new();
    let mut each = Vec::with_capacity(COUNT);
    let (mut next, mut answered) = (0, 0);
    while each.len() < COUNT || answered < COUNT {
        while next < COUNT && next - answered < 16 {
            let number = first + next as u128;
            writer.mutate(create(number)).unwrap();
            sent.insert(number, clock.now());
            next += 1;
        }
        tokio::select! {
            incoming = writer.next() => {
                if let Incoming::Answered { answer, .. } = incoming.unwrap() {
                    answer.unwrap();
                    answered += 1;
                }
            }
            incoming = live.next() => {
                if let Incoming::Event(event) = incoming.unwrap()
                    && let Some(item) = event.change.item()
                    && let Some(sent) = sent.remove(&u128::from_be_bytes(*item.as_bytes()))
                {
                    each.push(clock.now().saturating_duration_since(sent));
                }
            }
        }
    }
    Times {
        each,
        all: clock.now().saturating_duration_since(start),
    }
}

/// A reader with a small buffer that says hello, subscribes and reads no more.
async fn subscribe_and_stop(server: &Server) -> Connection {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(socket.into()).unwrap();
    let mut connection = Connection::over(stream, &server.options(), &server.clock)
        .await
        .unwrap();
    let head = connection.head();
    connection.subscribe(Scope::Tenant, head).unwrap();
    while !matches!(connection.next().await.unwrap(), Incoming::Answered { .. }) {}
    connection
}

async fn until(server: &Server, done: impl Fn(&Server) -> bool) {
    let clock = &server.clock;
    let deadline = clock.now() + Duration::from_secs(30);
    while !done(server) {
        assert!(clock.now() < deadline, "it takes too long");
        clock
            .sleep_until(clock.now() + Duration::from_millis(20))
            .await;
    }
}
