//! Three processes on one bucket of one Redis.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pm_core::redis::{self, Endpoint, Options, Redis};
use pm_core::{Clock, Tick};
use pm_ratelimit::{BucketId, Charge, Quota, RateLimitStore, RedisStore};
use pm_testing::RedisServer;

/// For what takes milliseconds.
const PATIENT: Duration = Duration::from_secs(30);

const URL: &str = "PM_TEST_REDIS_URL";
const TEST: &str = "three_processes_together_admit_no_more_than_the_quota";
const BURST: u32 = 50;
const PER_SECOND: u32 = 1_000;

/// What a process prints: how many were admitted, and between which moments of the server's clock,
/// in microseconds.
struct Report {
    admitted: u64,
    began: u64,
    ended: u64,
}

/// The same test is what each of the processes runs, told by its environment.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the environment is what a process can be started with"
)]
fn three_processes_together_admit_no_more_than_the_quota() {
    if let Ok(url) = std::env::var(URL) {
        return hammer(&url);
    }
    let server = RedisServer::start();
    let processes: Vec<_> = (0..3)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
                .env(URL, server.url())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let reports: Vec<Report> = processes
        .into_iter()
        .map(|process| {
            let output = process.wait_with_output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{text}");
            let line = text.lines().find_map(|line| line.split_once("report: "));
            let (_, numbers) = line.unwrap_or_else(|| panic!("no report: {text}"));
            let mut numbers = numbers.split(' ').map(|number| number.parse().unwrap());
            let mut next = || numbers.next().unwrap();
            Report {
                admitted: next(),
                began: next(),
                ended: next(),
            }
        })
        .collect();
    let admitted: u64 = reports.iter().map(|report| report.admitted).sum();
    let began = reports.iter().map(|report| report.began).min().unwrap();
    let ended = reports.iter().map(|report| report.ended).max().unwrap();
    let most = u64::from(BURST) + (ended - began) * u64::from(PER_SECOND) / 1_000_000;
    assert!(admitted <= most, "{admitted} of {most}");
    assert!(admitted >= u64::from(BURST), "only {admitted} of {most}");
    let last_begun = reports.iter().map(|report| report.began).max().unwrap();
    let first_ended = reports.iter().map(|report| report.ended).min().unwrap();
    assert!(last_begun < first_ended, "they did not meet");
}

/// Four at a time ask for a second, which begins when all three processes are there.
#[allow(
    clippy::print_stdout,
    reason = "the process that has started this one reads it"
)]
fn hammer(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(async {
        let options = Options::new().with_deadline(Duration::from_secs(20));
        let endpoint = Endpoint::single(url).unwrap();
        let redis = Redis::connect(endpoint, options).await.unwrap();
        meet(&redis).await;
        let began = time(&redis).await;
        let store = Arc::new(RedisStore::new(redis.clone()));
        let quota = Quota::per_second(PER_SECOND).burst(BURST);
        let charge = Charge::new(BucketId::from_u128(7), quota, 1);
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (store, redis) = (Arc::clone(&store), redis.clone());
                tokio::spawn(async move {
                    let mut admitted = 0;
                    while time(&redis).await < began + 1_000_000 {
                        for _ in 0..50 {
                            let decided = Arc::clone(&store).decide(charge.into(), Tick::ZERO);
                            admitted += u64::from(decided.await.unwrap().is_admitted());
                        }
                    }
                    admitted
                })
            })
            .collect();
        let mut admitted = 0;
        for task in tasks {
            admitted += task.await.unwrap();
        }
        Report {
            admitted,
            began,
            ended: time(&redis).await,
        }
    });
    let Report {
        admitted,
        began,
        ended,
    } = report;
    println!("report: {admitted} {began} {ended}");
}

/// Waits until all three are there.
async fn meet(redis: &Redis) {
    let clock = Clock::system();
    redis
        .call(&redis::Command::new("INCR").arg("here"))
        .await
        .unwrap();
    let get = redis::Command::new("GET").arg("here");
    let all = async {
        while redis.call(&get).await.unwrap().bytes().unwrap() != b"3" {
            clock
                .sleep_until(clock.now() + Duration::from_millis(1))
                .await;
        }
    };
    clock.within(PATIENT, all).await.expect("all three came");
}

/// The server's clock, in microseconds.
async fn time(redis: &Redis) -> u64 {
    let time = redis.call(&redis::Command::new("TIME")).await.unwrap();
    let words = time.list().unwrap().into_iter().map(|word| {
        let word = String::from_utf8(word.bytes().unwrap()).unwrap();
        word.parse::<u64>().unwrap()
    });
    words.fold(0, |time, word| time * 1_000_000 + word)
}
