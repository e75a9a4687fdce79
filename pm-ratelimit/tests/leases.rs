//! Three processes that lease tokens of one Redis, some of which are killed: 12 of them, or with
//! `PM_TEST_LONG=1` 150.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pm_core::Clock;
use pm_core::redis::{Endpoint, Options, Redis};
use pm_ratelimit::{
    BucketId, By, Charge, Leases, Limiter, Op, Quota, RateLimitStore, RedisStore, Rule, Rules,
    Subject, Verdict,
};
use pm_testing::RedisServer;

const URL: &str = "PM_TEST_REDIS_URL";
const FILE: &str = "PM_TEST_LEASES_FILE";
const TASK: &str = "PM_TEST_LEASES_TASK";

const PROCESSES: usize = 3;

/// That ask at the same time, in each process.
const TASKS: usize = 4;

const BURST: u32 = 400;
const PER_SECOND: u32 = 1_000;
const SLICE: u32 = 50;

/// All processes together: for so long they ask without a pause, once in so long. Half-way in between
/// they ask until they hold most of a slice; by the next gust the bucket is full again.
const GUST: Duration = Duration::from_millis(30);
const CALM: Duration = Duration::from_millis(900);

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// As fast as it can, from a bucket that never runs empty, one question for each decision.
    Exact,
    /// The same with a slice.
    Leased,
    /// In gusts, each from a bucket that is full and with a slice, until both are empty.
    Gusts,
}

impl Task {
    const ALL: [(&str, Self); 3] = [
        ("exact", Self::Exact),
        ("leased", Self::Leased),
        ("gusts", Self::Gusts),
    ];

    fn of(name: &str) -> Self {
        let task = Self::ALL.into_iter().find(|(known, _)| *known == name);
        task.unwrap().1
    }

    fn name(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find(|(_, task)| *task == self)
            .unwrap()
            .0
    }

    fn charge(self) -> Charge {
        let plenty = Quota::per_second(1_000_000).burst(u32::MAX);
        let of = |number: u128, quota| Charge::new(BucketId::from_u128(number), quota, 1);
        match self {
            Self::Exact => of(1, plenty),
            Self::Leased => of(2, plenty).leased(10_000),
            Self::Gusts => of(3, Quota::per_second(PER_SECOND).burst(BURST)).leased(SLICE),
        }
    }
}

/// Counted where it outlives a process that is killed: what was admitted, and how much of that
/// without asking.
struct Tally(File);

impl Tally {
    /// Twice, so that whoever reads meanwhile can tell.
    fn write(&self, admitted: u64, spent: u64) {
        let numbers = [admitted, spent, admitted, spent];
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        self.0.write_all_at(&bytes, 0).unwrap();
    }

    fn read(&self) -> (u64, u64) {
        loop {
            let mut bytes = [0; 32];
            // Nothing, until it has been written to.
            let _ = self.0.read_at(&mut bytes, 0).unwrap();
            let (numbers, _) = bytes.as_chunks();
            let [admitted, spent, again @ ..] = numbers else {
                unreachable!("there are four")
            };
            if again == [*admitted, *spent] {
                return (u64::from_le_bytes(*admitted), u64::from_le_bytes(*spent));
            }
        }
    }
}

/// One process, as the test sees it.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    tally: Tally,
}

impl Process {
    fn start(test: &str, task: Task, url: &str, file: &Path) -> Self {
        File::create_new(file).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(URL, url)
            .env(FILE, file)
            .env(TASK, task.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            child,
            tally: Tally(File::open(file).unwrap()),
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a service is ended: it gives back what it holds.
    fn end(&mut self) {
        self.stdin = None;
        assert!(self.child.wait().unwrap().success());
    }
}

/// Not to be left behind by a test that fails.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Fleet {
    test: &'static str,
    server: RedisServer,
    folder: tempfile::TempDir,
    clock: Clock,
}

impl Fleet {
    fn of(test: &'static str) -> Self {
        Self {
            test,
            server: RedisServer::start(),
            folder: tempfile::tempdir().unwrap(),
            clock: Clock::system(),
        }
    }

    fn start(&self, task: Task, number: usize) -> Process {
        let file: PathBuf = self.folder.path().join(format!("{}-{number}", task.name()));
        Process::start(self.test, task, &self.server.url(), &file)
    }

    /// Decisions per second of three processes, while all of them are at it.
    fn speed(&self, task: Task) -> f64 {
        let processes: Vec<_> = (0..PROCESSES)
            .map(|number| self.start(task, number))
            .collect();
        let sum = || -> u64 { processes.iter().map(|one| one.tally.read().0).sum() };
        while processes.iter().any(|one| one.tally.read().0 == 0) {
            self.wait(Duration::from_millis(1));
        }
        let (began, before) = (self.clock.now(), sum());
        self.wait(Duration::from_secs(1));
        let (ended, after) = (self.clock.now(), sum());
        let took = ended.saturating_duration_since(began);
        (after - before) as f64 / took.as_secs_f64()
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "it waits for other processes, which have a time of their own"
    )]
    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// The same tests are what each of the processes runs, told by its environment.
#[allow(
    clippy::disallowed_methods,
    reason = "the environment is what a process can be started with"
)]
fn is_a_process() -> bool {
    let (Ok(url), Ok(file), Ok(task)) =
        (std::env::var(URL), std::env::var(FILE), std::env::var(TASK))
    else {
        return false;
    };
    let file = File::options().write(true).open(file).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(&url, Tally(file), Task::of(&task)));
    true
}

/// What a process does.
struct Worker {
    task: Task,
    leases: Leases,
    clock: Clock,
    admitted: AtomicU64,
    tally: Tally,
}

/// Until its input ends.
async fn work(url: &str, tally: Tally, task: Task) {
    let stop = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        ended.store(true, Ordering::Relaxed);
    });
    let options = Options::new().with_deadline(Duration::from_secs(20));
    let endpoint = Endpoint::single(url).unwrap();
    let redis = Redis::connect(endpoint, options).await.unwrap();
    let leases = Leases::of(RedisStore::new(redis), 100);
    let running = tokio::spawn(leases.clone().run());
    let worker = Arc::new(Worker {
        task,
        leases: leases.clone(),
        clock: Clock::system(),
        admitted: AtomicU64::new(0),
        tally,
    });
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (worker, stop) = (Arc::clone(&worker), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    worker.go_on().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    running.abort();
    leases.release().await;
    assert_eq!((leases.stats().outstanding, leases.stats().lost), (0, 0));
}

impl Worker {
    async fn go_on(&self) {
        if self.task != Task::Gusts {
            for _ in 0..20 {
                self.ask().await;
            }
            self.tally.write(self.admitted.load(Ordering::Relaxed), 0);
            tokio::task::yield_now().await;
        } else if self.is_due() {
            self.ask().await;
            let spent = self.leases.stats().spent;
            (self.tally).write(self.admitted.load(Ordering::Relaxed), spent);
            tokio::task::yield_now().await;
        } else {
            let soon = self.clock.now() + Duration::from_millis(1);
            self.clock.sleep_until(soon).await;
        }
    }

    /// By the time of day, which all processes have in common.
    fn is_due(&self) -> bool {
        let now = Duration::from_micros(self.clock.wall_micros().unsigned_abs());
        let phase = Duration::from_micros((now.as_micros() % CALM.as_micros()) as u64);
        let holds_enough = self.leases.stats().outstanding > u64::from(SLICE / 2);
        phase < GUST || phase >= CALM / 2 && phase < CALM / 2 + GUST && !holds_enough
    }

    async fn ask(&self) {
        let (charge, now) = (self.task.charge(), self.clock.now());
        let decision = match self.leases.try_decide(&[charge], now) {
            Some(decision) => decision,
            None => {
                let asked = Arc::new(self.leases.clone()).decide(charge.into(), now);
                asked.await.unwrap()
            }
        };
        let admitted = u64::from(decision.is_admitted());
        self.admitted.fetch_add(admitted, Ordering::Relaxed);
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "scripts/test --long says so in the environment"
)]
fn is_long() -> bool {
    std::env::var("PM_TEST_LONG").is_ok()
}

#[test]
fn three_processes_with_leases_decide_ten_times_as_often() {
    if is_a_process() {
        return;
    }
    let fleet = Fleet::of("three_processes_with_leases_decide_ten_times_as_often");
    let (exact, leased) = (fleet.speed(Task::Exact), fleet.speed(Task::Leased));
    println!("{exact:.0} exact and {leased:.0} leased decisions per second");
    assert!(leased >= 10.0 * exact, "{leased} beside {exact}");
}

/// What had been admitted at some moment between two.
struct Sample {
    /// In microseconds since the start.
    after: u64,
    before: u64,
    admitted: u64,
}

#[test]
fn three_processes_of_which_some_are_killed_stay_within_the_bound() {
    if is_a_process() {
        return;
    }
    let fleet = Fleet::of("three_processes_of_which_some_are_killed_stay_within_the_bound");
    let clock = &fleet.clock;
    let began = clock.now();
    let micros = || clock.now().saturating_duration_since(began).as_micros() as u64;
    let rounds = 15 * if is_long() { 200 } else { 16 };
    let mut numbers = 0..;
    let mut start = || fleet.start(Task::Gusts, numbers.next().unwrap());
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    let (mut gone, mut spent_by_gone) = (0, 0);
    let mut samples = Vec::new();
    for round in 1..=rounds {
        fleet.wait(Duration::from_millis(20));
        if round % 15 == 0 {
            let at = round / 15 % PROCESSES;
            if round % 60 == 0 {
                processes[at].end();
            } else {
                processes[at].kill();
            }
            let (admitted, spent) = processes[at].tally.read();
            (gone, spent_by_gone) = (gone + admitted, spent_by_gone + spent);
            processes[at] = start();
        }
        let after = micros();
        let living: u64 = processes.iter().map(|one| one.tally.read().0).sum();
        samples.push(Sample {
            after,
            before: micros(),
            admitted: gone + living,
        });
    }
    let last = samples.last().unwrap();
    let of_quota = |micros: u64| f64::from(BURST) + f64::from(PER_SECOND) * micros as f64 / 1e6;

    // At the start nobody held anything.
    for sample in &samples {
        let most = of_quota(sample.before);
        assert!(
            sample.admitted as f64 <= most,
            "{} of {most}",
            sample.admitted
        );
    }
    // Later on, there was what they held, and what had been admitted but not been written down yet.
    let held = PROCESSES as u32 * SLICE + (PROCESSES * TASKS) as u32;
    let mut beyond = f64::MIN;
    for (at, earlier) in samples.iter().enumerate() {
        for later in &samples[at..] {
            let admitted = (later.admitted - earlier.admitted) as f64;
            beyond = beyond.max(admitted - of_quota(later.before - earlier.after));
        }
    }
    assert!(beyond <= f64::from(held), "{beyond} of {held}");
    let living: u64 = processes.iter().map(|one| one.tally.read().1).sum();
    let spent = spent_by_gone + living;
    let (admitted, most) = (last.admitted, of_quota(last.before));
    println!(
        "{admitted} of {most:.0} admitted, {spent} of them without asking; in no stretch of time more \
         than {beyond:.0} beyond the quota, of {held}"
    );
    assert!(admitted as f64 >= most / 4.0, "only {admitted} of {most}");
    assert!(
        spent >= admitted / 4,
        "only {spent} of {admitted} were leased"
    );
    processes.iter_mut().for_each(Process::end);
}

#[tokio::test]
async fn a_limiter_decides_by_what_is_held_and_by_less_as_soon_as_it_is_told() {
    let server = RedisServer::start();
    let options = Options::new().with_deadline(Duration::from_secs(20));
    let endpoint = Endpoint::single(&server.url()).unwrap();
    let redis = Redis::connect(endpoint, options).await.unwrap();
    let leases = Leases::of(RedisStore::new(redis), 100);
    let jobs = |burst| {
        let quota = Quota::per_day(1).burst(burst);
        Rules::new().rule("job", Rule::on("job").by(By::User).quota(quota).leased(100))
    };
    let limiter = Limiter::builder(jobs(1_000))
        .store(leases.clone())
        .build()
        .unwrap();
    let ada = Subject::user("ada");
    let mut at_once = 0;
    for left in (700..1_000).rev() {
        let verdict = limiter.try_check(&ada, Op::new("job"));
        at_once += u32::from(verdict.is_some());
        let verdict = match verdict {
            Some(verdict) => verdict,
            None => limiter.check(&ada, Op::new("job")).await,
        };
        match verdict {
            Verdict::Allowed(allowed) => assert_eq!(allowed.remaining(), left),
            other => panic!("{other:?}"),
        }
    }
    assert!(at_once > 280, "{at_once}");

    // What is held was taken under the other quota: it is owed, and not spent.
    let held = leases.stats().outstanding as u32;
    limiter.reload(jobs(400)).unwrap();
    let mut admitted = 0;
    while limiter.check(&ada, Op::new("job")).await.is_allowed() {
        admitted += 1;
    }
    assert_eq!(admitted, 100 - held);
    leases.release().await;
}
