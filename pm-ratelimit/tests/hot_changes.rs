//! Rules and quotas of users that change ten times a second while requests run on two instances.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use pm_core::{Clock, Identity, PeerAddr, Tick};
use pm_ratelimit::rule_book::{Edit, RuleBook};
use pm_ratelimit::{
    By, DigestKey, Limiter, MemoryStore, Quota, RateLimitStore, Rule, RuleStore, Rules, Stage,
    Subject, guard,
};
use tower::{Layer, ServiceExt, service_fn};

/// The burst of every version of the rules, which is soon used up: a bucket that is reset would let in
/// as many once more.
const BURST: u32 = 300;

const CHANGES: u32 = 25;

/// Two rules that always change together.
fn version(rate: u32) -> [Edit; 2] {
    let quota = Quota::per_day(rate).burst(BURST);
    let rule = || Rule::always().by(By::Client).quota(quota);
    [Edit::put("left", rule()), Edit::put("right", rule())]
}

fn instance(store: Arc<dyn RuleStore>, buckets: Arc<dyn RateLimitStore>) -> RuleBook {
    let quota = Quota::per_day(1).burst(BURST);
    let rule = || Rule::always().by(By::Client).quota(quota);
    let user = Rule::on("task.*").by(By::User).quota(Quota::per_day(1));
    let rules = Rules::new()
        .rule("left", rule())
        .rule("right", rule())
        .rule("user", user);
    let limiter = Limiter::builder(rules)
        .shared_store(buckets)
        .digest_key(DigestKey::new([7; 16]));
    RuleBook::builder(limiter).store(store).build().unwrap()
}

/// What a request is answered with, and the quota that both policies state.
async fn send(book: &RuleBook) -> (StatusCode, String) {
    let mut request = Request::new(());
    let peer = SocketAddr::new([192, 0, 2, 1].into(), 1);
    request.extensions_mut().insert(PeerAddr(peer));
    let hello = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let service = book.limiter().layer(Stage::Edge).layer(hello);
    let answer = service.oneshot(request).await.unwrap();
    let policies = answer.headers().get_all("ratelimit-policy").iter();
    let policies: Vec<&str> = policies
        .flat_map(|value| value.to_str().unwrap().split(", "))
        .collect();
    let quotas: Vec<&str> = policies
        .iter()
        .map(|policy| policy.split_once(';').unwrap().1)
        .collect();
    assert_eq!(quotas.len(), 2, "{policies:?}");
    assert_eq!(quotas[0], quotas[1], "decided by two versions");
    (answer.status(), quotas[0].to_owned())
}

/// Waits until the instance has heard of this version, and says when it had.
async fn heard(book: &RuleBook, version: u64, clock: &Clock) -> Tick {
    while book.version() < version {
        clock
            .sleep_until(clock.now() + Duration::from_millis(5))
            .await;
    }
    clock.now()
}

/// No request fails, none is let in twice, none is decided by a mixture, and both instances hear of
/// each change within a second.
async fn change(stores: [Arc<dyn RuleStore>; 2], buckets: [Arc<dyn RateLimitStore>; 2]) {
    let clock = Clock::system();
    let [one, two] = stores;
    let [of_one, of_two] = buckets;
    let books = [instance(one, of_one), instance(two, of_two)];
    let running: Vec<_> = books
        .iter()
        .map(|book| tokio::spawn(book.clone().run()))
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let answers = Arc::<Mutex<BTreeMap<StatusCode, u32>>>::default();
    let load = (0..4).map(|number: usize| {
        let (book, done, answers) = (books[number % 2].clone(), done.clone(), answers.clone());
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let (status, _) = send(&book).await;
                *answers.lock().unwrap().entry(status).or_default() += 1;
                tokio::task::yield_now().await;
            }
        })
    });
    let load: Vec<_> = load.collect();

    let ada = Identity::new("ada");
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let slowest = Arc::new(AtomicU32::new(0));
    let mut listening = Vec::new();
    for change in 1..=CHANGES {
        ticks.tick().await;
        let book = &books[change as usize % 2];
        let version = book.edit(version(1 + change)).await.unwrap();
        assert!(book.version() >= version, "it counts here at once");
        let at = clock.now();
        book.assign("user", &ada, Quota::per_day(change))
            .await
            .unwrap();
        let (other, clock) = (books[(change as usize + 1) % 2].clone(), clock.clone());
        let slowest = Arc::clone(&slowest);
        listening.push(tokio::spawn(async move {
            let late = heard(&other, version, &clock)
                .await
                .saturating_duration_since(at);
            slowest.fetch_max(late.as_millis() as u32, Ordering::Relaxed);
        }));
    }
    let at = clock.now();
    for listener in listening {
        listener.await.unwrap();
    }
    let last = format!("q={};w=86400", 1 + CHANGES);
    for book in &books {
        // What an answer states is the last version, on both.
        while send(book).await.1 != last {
            assert!(clock.now().saturating_duration_since(at) < Duration::from_secs(1));
        }
        let subject = Subject::identity(&ada);
        let op = || pm_ratelimit::Op::new("task.update").cost(0);
        let left = async || match book.limiter().check(&subject, op()).await {
            pm_ratelimit::Verdict::Allowed(allowed) => allowed.remaining(),
            other => panic!("{other:?}"),
        };
        while left().await != CHANGES {
            assert!(clock.now().saturating_duration_since(at) < Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    for task in running {
        task.abort();
    }

    let answers = answers.lock().unwrap();
    let count = |status| answers.get(&status).copied().unwrap_or(0);
    let (admitted, refused) = (count(StatusCode::OK), count(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(
        answers.values().sum::<u32>(),
        admitted + refused,
        "{answers:?}"
    );
    // What converting a debt may round away is never in the caller's favour.
    assert!(
        admitted <= BURST && admitted + 3 * CHANGES >= BURST,
        "{answers:?}"
    );
    assert!(refused > BURST, "{answers:?}");
    let slowest = slowest.load(Ordering::Relaxed);
    assert!(slowest <= 1_000, "one heard of a change after {slowest} ms");
    for book in &books {
        assert_eq!(
            (
                book.stats().store_failures,
                book.limiter().stats().lookups_failed
            ),
            (0, 0)
        );
    }
}

fn one_of_each<T: Clone>(both: T) -> [T; 2] {
    [both.clone(), both]
}

fn in_memory() -> [Arc<dyn RateLimitStore>; 2] {
    one_of_each(Arc::new(MemoryStore::bounded(1_000)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_memory_of_one_process() {
    change(
        one_of_each(Arc::new(guard::MemoryStore::new())),
        in_memory(),
    )
    .await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_file_that_two_processes_have_open() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("guard.db");
    let open = async || Arc::new(guard::SqliteStore::open(&path).await.unwrap());
    change([open().await, open().await], in_memory()).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_postgres() {
    let server = pm_testing::PostgresServer::start();
    let connect = async || Arc::new(guard::PostgresStore::connect(&server.url()).await.unwrap());
    change([connect().await, connect().await], in_memory()).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_redis_with_the_buckets() {
    use pm_core::redis::{Endpoint, Options, Redis};

    let server = pm_testing::RedisServer::start();
    let connect = async || {
        let endpoint = Endpoint::single(&server.url()).unwrap();
        Redis::connect(endpoint, Options::new()).await.unwrap()
    };
    let (one, two) = (connect().await, connect().await);
    // Deadlines that a machine which is busy with other tests does not miss.
    let patient = Duration::from_secs(20);
    let rules =
        |redis: &Redis| Arc::new(guard::RedisStore::new(redis.clone()).with_deadline(patient));
    let buckets = |redis: &Redis| -> Arc<dyn RateLimitStore> {
        Arc::new(pm_ratelimit::RedisStore::new(
            redis.clone().with_deadline(patient),
        ))
    };
    change([rules(&one), rules(&two)], [buckets(&one), buckets(&two)]).await;
}
