//! What clients meet when the storage of a tenant fails, is slow, or hangs. Under a clock that stands
//! still.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use pm_core::{Clock, ManualTime};
use pm_resilience::shutdown::ShutdownSettings;
use pm_server::{
    auth::Role,
    store::{Answer, Scope, StoreError},
    sync::{Failure, RingLimits},
    tenant::Tenant,
};
use pm_testing::Log;
use support::{
    moody::{Mood, Moody, mutation},
    service::{Service, id, settings},
};
use tracing::Level;

struct Open {
    log: Moody,
    tenant: Tenant,
    time: ManualTime,
}

impl Open {
    async fn new() -> Self {
        let (clock, time) = Clock::manual();
        let log = Moody::new(&clock);
        let tenant = Tenant::open("acme", Arc::new(log.clone()), RingLimits::default(), clock);
        let tenant = tenant.await.unwrap();
        Self { log, tenant, time }
    }

    async fn submit(&self, byte: u8) -> Result<Answer, Failure> {
        let pending = self.tenant.writer().submit(mutation(byte)).unwrap();
        pending.await.unwrap()
    }

    /// Lets time pass until it has an answer.
    async fn submit_and_wait(&self, byte: u8, most: Duration) -> Result<Answer, Failure> {
        let mut pending = self.tenant.writer().submit(mutation(byte)).unwrap();
        let step = Duration::from_millis(100);
        let mut passed = Duration::ZERO;
        while passed <= most {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            if let Ok(answer) = pending.try_recv() {
                return answer;
            }
            self.time.advance(step);
            passed += step;
        }
        panic!("no answer within {most:?}");
    }
}

#[tokio::test]
async fn a_write_that_took_too_long_may_have_been_done_and_repeating_it_tells() {
    let open = Open::new().await;
    open.log.writes(Mood::LosesAnswers);
    let late = open.submit_and_wait(1, Duration::from_secs(11)).await;
    assert_eq!(late, Err(Failure::Unavailable));
    // Whoever follows has its event, whatever became of the answer.
    assert_eq!(open.tenant.hub().head().rev, 1);
    open.log.writes(Mood::Well);
    let repeated = open.submit(1).await.unwrap();
    assert!(repeated.replayed);
    assert_eq!(repeated.rev, 1);
    let asked = open.log.asked();
    assert_eq!(open.submit(2).await.unwrap().rev, 2);
    assert_eq!(
        open.log.asked(),
        asked + 1,
        "and nothing is done twice here"
    );
}

#[tokio::test]
async fn storage_that_keeps_failing_is_left_alone_and_then_asked_once() {
    let open = Open::new().await;
    open.log.writes(Mood::Fails);
    for byte in 1..=5 {
        assert_eq!(open.submit(byte).await, Err(Failure::Unavailable));
    }
    let asked = open.log.asked();
    for byte in 6..=20 {
        let Err(Failure::NotAsked { retry_after }) = open.submit(byte).await else {
            panic!("asked, or answered");
        };
        assert_eq!(retry_after, Duration::from_secs(2));
    }
    assert_eq!(open.log.asked(), asked);
    // Its reading connections are others, and work.
    assert!(open.tenant.log().snapshot(Scope::Tenant).await.is_ok());

    // The probe fails, and it takes twice as long.
    open.time.advance(Duration::from_secs(2));
    assert_eq!(open.submit(1).await, Err(Failure::Unavailable));
    let Err(Failure::NotAsked { retry_after }) = open.submit(1).await else {
        panic!("asked, or answered");
    };
    assert_eq!(retry_after, Duration::from_secs(4));

    open.log.writes(Mood::Well);
    open.time.advance(Duration::from_secs(4));
    for byte in 1..=20 {
        let answer = open.submit(byte).await.unwrap();
        assert_eq!((answer.rev, answer.replayed), (u64::from(byte), false));
    }
}

#[tokio::test]
async fn the_tenant_stands_in_the_log_and_not_in_what_is_counted() {
    let lines = Log::capture(Level::WARN);
    let open = Open::new().await;
    open.log.writes(Mood::Fails);
    for byte in 1..=5 {
        assert_eq!(open.submit(byte).await, Err(Failure::Unavailable));
    }
    let lines = lines.lines();
    let opened = lines
        .iter()
        .find(|line| line.contains("the circuit is open"));
    let opened = opened.expect("it has opened");
    for part in [r#"breaker="storage.writes""#, r#"key="acme""#] {
        assert!(opened.contains(part), "{part} is not in {opened}");
    }
}

#[tokio::test]
async fn a_row_that_is_refused_says_nothing_against_the_storage() {
    let open = Open::new().await;
    open.log.writes(Mood::Refuses);
    for byte in 1..=20 {
        assert_eq!(open.submit(byte).await, Err(Failure::Unavailable));
    }
    open.log.writes(Mood::Well);
    assert!(open.submit(1).await.is_ok());
}

#[tokio::test]
async fn a_read_that_hangs_ends() {
    let open = Open::new().await;
    open.log.reads(Mood::Takes(Duration::from_secs(3600)));
    let log = open.tenant.log().clone();
    let reading = tokio::spawn(async move { log.read(Scope::Tenant, 0, 1).await });
    for _ in 0..9 {
        tokio::task::yield_now().await;
        open.time.advance(Duration::from_secs(1));
    }
    let error = reading.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn a_tenant_is_closed_in_order_although_its_storage_is_left_alone() {
    let open = Open::new().await;
    open.log.writes(Mood::Fails);
    for byte in 1..=6 {
        assert!(open.submit(byte).await.is_err());
    }
    assert!(open.tenant.close().await.is_ok());
}

#[tokio::test]
async fn over_http_it_is_a_problem_that_says_when_to_come_back() {
    let (clock, time) = Clock::manual();
    let log = Moody::new(&clock);
    let storage = Arc::new(log.clone());
    let shutdown = ShutdownSettings::default();
    let service = Service::on(storage, (clock, time), settings(), shutdown).await;
    let viewer = service.bearer("acme", Role::Viewer);
    let path = format!("/api/v1/work-items/{}", id(1));
    let status = async || service.get(&path, Some(&viewer)).await.status;
    assert_eq!(status().await, StatusCode::NOT_FOUND);

    log.reads(Mood::Fails);
    for _ in 0..10 {
        let answered = service.get(&path, Some(&viewer)).await;
        answered.is_problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:pm:problem:unavailable",
        );
        assert_eq!(answered.headers["retry-after"], "2");
    }
    // Five were enough: the tenant was opened, then one was answered.
    assert_eq!(log.asked(), 7);
    log.reads(Mood::Well);
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    service.time.advance(Duration::from_secs(2));
    assert_eq!(status().await, StatusCode::NOT_FOUND);
}
