//! Three instances on one Redis, under load, while it is paused and while it is killed.
//!
//! How long they waited is shown by `cargo test -p pm-ratelimit --features redis --test outage --
//! --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pm_core::degrade::State;
use pm_core::redis::{Endpoint, Options, Redis};
use pm_core::{Clock, Tick};
use pm_ratelimit::{
    Allowed, By, DigestKey, Fallback, Limiter, MemoryStore, Op, Quota, RedisStore, Rule, Rules,
    Subject, Verdict,
};
use pm_testing::{Log, RedisServer};
use tokio::task::{JoinHandle, spawn_blocking};

/// For what takes milliseconds.
const PATIENT: Duration = Duration::from_secs(30);

const DEADLINE: Duration = Duration::from_millis(5);

/// What a busy machine may add until whoever waits is run again.
const SCHEDULING: Duration = Duration::from_millis(500);

const INSTANCES: u32 = 3;
const BURST: u32 = 90;
const PER_SECOND: u32 = 300;

/// So many that none is refused, and none comes back.
const JOBS: u32 = 30_000;

struct Instance {
    redis: Redis,
    store: Arc<Fallback<RedisStore, MemoryStore>>,
    limiter: Limiter,
}

impl Instance {
    async fn start(server: &RedisServer) -> Self {
        let endpoint = Endpoint::single(&server.url()).expect("an address");
        let redis = Redis::connect(endpoint, Options::new()).await;
        let redis = redis.expect("it is there").with_deadline(DEADLINE);
        let local = MemoryStore::bounded(1_000);
        let store = Fallback::new(RedisStore::new(redis.clone()), local).replicas(INSTANCES);
        let store = Arc::new(store);
        let frames = Quota::per_second(PER_SECOND).burst(BURST);
        let jobs = Quota::per_day(1).burst(JOBS);
        let rules = Rules::new()
            .rule("frames", Rule::on("frame").by(By::User).quota(frames))
            .rule("jobs", Rule::on("job").by(By::User).quota(jobs));
        let limiter = Limiter::builder(rules)
            .shared_store(store.clone())
            .digest_key(DigestKey::new(*b"of three at once"))
            .build()
            .expect("valid rules");
        Self {
            redis,
            store,
            limiter,
        }
    }
}

/// One question and its answer.
struct Asked {
    op: &'static str,
    began: Tick,
    took: Duration,
    admitted: bool,
    degraded: bool,
}

/// Asks every millisecond or two, in turn for the one and for the other.
fn hammer(limiter: &Limiter, clock: &Clock, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<Asked>> {
    let (limiter, clock, stop) = (limiter.clone(), clock.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let ada = Subject::user("ada");
        let mut asked = Vec::new();
        for op in ["frame", "job"].into_iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let began = clock.now();
            let verdict = limiter.check(&ada, Op::new(op)).await;
            let took = clock.now().saturating_duration_since(began);
            let (admitted, degraded) = match verdict {
                Verdict::Allowed(allowed) => (true, allowed.degraded()),
                Verdict::Refused(refused) => (false, refused.degraded()),
                Verdict::Never(never) => panic!("{never:?}"),
            };
            asked.push(Asked {
                op,
                began,
                took,
                admitted,
                degraded,
            });
            clock.sleep_until(began + Duration::from_millis(1)).await;
        }
        asked
    })
}

async fn wait(clock: &Clock, time: Duration) {
    clock.sleep_until(clock.now() + time).await;
}

/// What all instances were asked while the server went and came back.
struct Outage {
    server: RedisServer,
    instances: Vec<Instance>,
    asked: Vec<Asked>,
    went: Tick,
    came: Tick,
    back: Tick,
    log: Vec<String>,
}

impl Outage {
    async fn of(go: fn(&mut RedisServer), come: fn(&mut RedisServer)) -> Self {
        let log = Log::capture(tracing::Level::WARN);
        let clock = Clock::system();
        let mut server = RedisServer::start();
        // Who comes first tells the server the script, so that nobody else has to.
        let _ = one_job("eve", &server).await;
        let mut instances = Vec::new();
        for _ in 0..INSTANCES {
            instances.push(Instance::start(&server).await);
        }

        let stop = Arc::new(AtomicBool::new(false));
        let hammers: Vec<_> = (instances.iter().cycle().take(4 * INSTANCES as usize))
            .map(|instance| hammer(&instance.limiter, &clock, &stop))
            .collect();
        wait(&clock, Duration::from_millis(500)).await;
        // Elsewhere, since whoever waits for a server to start must not hold up those who ask.
        let went = clock.now();
        server = elsewhere(server, go).await;
        wait(&clock, Duration::from_millis(1_500)).await;
        server = elsewhere(server, come).await;
        let came = clock.now();
        for instance in &instances {
            let mut changes = instance.redis.changes();
            let up = clock.within(PATIENT, changes.until(State::Up)).await;
            up.expect("back on the server");
        }
        let back = clock.now();
        wait(&clock, Duration::from_millis(500)).await;
        stop.store(true, Ordering::Relaxed);
        let mut asked = Vec::new();
        for hammer in hammers {
            asked.extend(hammer.await.expect("no panic"));
        }
        Self {
            server,
            instances,
            asked,
            went,
            came,
            back,
            log: log.lines(),
        }
    }

    /// Nobody waits for longer than the deadline, nothing fails, no more than the quota is admitted
    /// by all instances together, and then Redis decides again.
    fn is_bridged(&self) {
        let took = self.took();
        let longest = took[took.len() - 1];
        assert!(longest < DEADLINE + SCHEDULING, "waited {longest:?}");
        for instance in &self.instances {
            assert_eq!(instance.limiter.stats().failed, 0);
            let (redis, store) = (instance.redis.stats(), instance.store.stats());
            assert!(redis.fallen >= 1 && redis.risen >= 1, "{redis:?}");
            assert_eq!(instance.limiter.stats().degraded, store.degraded);
            assert!(redis.ambiguous <= store.failed, "{redis:?} {store:?}");
        }
        assert_eq!(
            self.degraded(),
            self.sum(|instance| instance.store.stats().degraded)
        );

        let (admitted, most) = (self.admitted(), self.quota());
        assert!(admitted <= 1.1 * most, "{admitted} of {most}");
        assert!(admitted >= most / 4.0, "only {admitted} of {most}");

        let back = self.back.saturating_duration_since(self.came);
        assert!(
            back < Duration::from_secs(1) + SCHEDULING,
            "back after {back:?}"
        );
        let after = self.asked.iter().filter(|asked| asked.began > self.back);
        let mut after = after.filter(|asked| !asked.degraded);
        assert!(after.next().is_some(), "not asked again");
    }

    /// As many as the switches were thrown, whatever the number of requests.
    fn is_told_once_a_switch(&self) {
        let thrown = self.sum(|instance| {
            let stats = instance.redis.stats();
            stats.fallen + stats.risen
        });
        // The first connection of each was not worth a warning: nobody was told of an outage before.
        let says = |what: &str| self.log.iter().filter(|line| line.contains(what)).count() as u64;
        assert_eq!(
            self.log.len() as u64,
            says("down: ") + says("back: "),
            "{:#?}",
            self.log
        );
        assert_eq!(
            says("down: "),
            self.sum(|instance| instance.redis.stats().fallen)
        );
        assert!(self.log.len() as u64 <= thrown, "{:#?}", self.log);
    }

    fn degraded(&self) -> u64 {
        self.asked.iter().filter(|asked| asked.degraded).count() as u64
    }

    /// Questions that a Redis was asked and did not answer: it may have taken them.
    fn failed(&self) -> u64 {
        self.sum(|instance| instance.store.stats().failed)
    }

    fn sum(&self, of: impl Fn(&Instance) -> u64) -> u64 {
        self.instances.iter().map(of).sum()
    }

    /// Jobs that Redis has admitted.
    fn jobs(&self) -> u64 {
        let jobs = |asked: &&Asked| asked.op == "job" && asked.admitted && !asked.degraded;
        self.asked.iter().filter(jobs).count() as u64
    }

    /// Jobs that Redis says it has admitted.
    async fn owed(&self) -> u64 {
        let asking = one_job("ada", &self.server).await;
        u64::from(JOBS - asking.remaining()) - 1
    }

    /// Frames that were admitted while the server was away, by all instances.
    fn admitted(&self) -> f64 {
        let meanwhile = |asked: &&Asked| asked.began >= self.went && asked.began < self.came;
        let frames = |asked: &&Asked| asked.op == "frame" && asked.admitted;
        self.asked.iter().filter(meanwhile).filter(frames).count() as f64
    }

    /// Frames that one Redis would have admitted in that time.
    fn quota(&self) -> f64 {
        let lasted = self.came.saturating_duration_since(self.went);
        f64::from(BURST) + f64::from(PER_SECOND) * lasted.as_secs_f64()
    }

    /// How long the questions took, from the fastest to the slowest.
    fn took(&self) -> Vec<Duration> {
        let mut took: Vec<_> = self.asked.iter().map(|asked| asked.took).collect();
        took.sort_unstable();
        took
    }

    fn figures(&self) -> String {
        let took = self.took();
        let at = |share: f64| took[(took.len() as f64 * share) as usize];
        format!(
            "{} questions, {} degraded, {} failed; waits p50 {:?} p99 {:?} p99.9 {:?} longest {:?}; \
             admitted {} of {:.0}; back after {:?}",
            took.len(),
            self.degraded(),
            self.failed(),
            at(0.5),
            at(0.99),
            at(0.999),
            took[took.len() - 1],
            self.admitted(),
            self.quota(),
            self.back.saturating_duration_since(self.came),
        )
    }
}

/// By somebody who has more patience than a machine that is busy with other tests may want.
async fn one_job(user: &str, server: &RedisServer) -> Allowed {
    let endpoint = Endpoint::single(&server.url()).expect("an address");
    let options = Options::new().with_deadline(Duration::from_secs(20));
    let redis = Redis::connect(endpoint, options).await;
    let rule = Rule::on("job")
        .by(By::User)
        .quota(Quota::per_day(1).burst(JOBS));
    let limiter = Limiter::builder(Rules::new().rule("jobs", rule))
        .store(RedisStore::new(redis.expect("it is there")))
        .digest_key(DigestKey::new(*b"of three at once"))
        .build()
        .expect("valid rules");
    match limiter.check(&Subject::user(user), Op::new("job")).await {
        Verdict::Allowed(allowed) if !allowed.degraded() => allowed,
        other => panic!("{other:?}"),
    }
}

async fn elsewhere(mut server: RedisServer, work: fn(&mut RedisServer)) -> RedisServer {
    let worked = spawn_blocking(move || {
        work(&mut server);
        server
    });
    worked.await.expect("no panic")
}

#[tokio::test]
async fn a_redis_that_hangs_is_bridged_and_charged_nothing_twice() {
    let outage = Outage::of(|server| server.pause(), |server| server.resume()).await;
    println!("{}", outage.figures());
    outage.is_bridged();
    outage.is_told_once_a_switch();
    let ambiguous = outage.sum(|instance| instance.redis.stats().ambiguous);
    assert!(
        ambiguous >= u64::from(INSTANCES),
        "each had one in flight at least"
    );

    // Each question was sent once, if at all.
    let asked = outage.asked.len() as u64 + 1;
    let questions = asked - outage.degraded() + outage.failed();
    let sent = outage.server.calls("evalsha");
    assert!(sent <= questions, "{sent} of {questions}");
    assert_eq!(outage.server.calls("eval"), 1);
    // What is owed is what was admitted, and of what was not answered no more than once each.
    let (owed, jobs) = (outage.owed().await, outage.jobs());
    assert!(owed >= jobs, "{owed} for {jobs}");
    assert!(owed <= jobs + outage.failed(), "{owed} for {jobs}");
}

#[tokio::test]
async fn a_redis_that_dies_is_bridged() {
    let outage = Outage::of(RedisServer::kill, RedisServer::restart).await;
    println!("{}", outage.figures());
    outage.is_bridged();
    outage.is_told_once_a_switch();
    // It has forgotten what was before.
    let (owed, jobs) = (outage.owed().await, outage.jobs());
    assert!(owed <= jobs + outage.failed(), "{owed} for {jobs}");
    let questions = outage.asked.len() as u64 - outage.degraded() + outage.failed();
    assert!(outage.server.calls("evalsha") <= questions);
}
