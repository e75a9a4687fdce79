//! What load balancers and orchestrators are told, on storage that fails.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use http::StatusCode;
use pm_core::Clock;
use pm_resilience::shutdown::ShutdownSettings;
use pm_server::{
    store::{Log, StoreError},
    tenant::{Files, MemoryStorage, Storage, TenantName},
};
use serde_json::{Value, json};
use support::service::{Service, settings};
use tokio::task::JoinHandle;

/// A service whose health is looked after.
struct Checked {
    service: Service,
    checks: JoinHandle<()>,
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.checks.abort();
    }
}

impl Checked {
    async fn on(storage: impl FnOnce(&Clock) -> Arc<dyn Storage>) -> Self {
        let (clock, time) = Clock::manual();
        let storage = storage(&clock);
        let shutdown = ShutdownSettings::default();
        let service = Service::on(storage, (clock, time), settings(), shutdown).await;
        let health = service.app.health().clone();
        let checks = tokio::spawn(async move { match health.run().await {} });
        let checked = Self { service, checks };
        checked.has_checked().await;
        checked
    }

    /// The next check.
    async fn check(&self) {
        self.service.time.advance(Duration::from_secs(5));
        self.has_checked().await;
    }

    /// A check has ended at this moment, by a clock that stands still.
    async fn has_checked(&self) {
        let age = || self.service.app.health().dependencies()[0].age;
        while age() != Some(Duration::ZERO) {
            tokio::task::yield_now().await;
        }
    }

    async fn status(&self, path: &str) -> StatusCode {
        self.service.get(path, None).await.status
    }

    /// What is said of the database by the ready probe.
    async fn database(&self) -> Value {
        let mut answered = self.service.get("/health/ready", None).await;
        let mut said = answered.body["checks"]["database:responseTime"][0].take();
        said["ready"] = json!(answered.status.as_u16());
        said
    }

    /// Not ready, and it is the database; everything else answers.
    async fn is_down(&self) {
        let said = self.database().await;
        assert_eq!(said["ready"], 503, "{said}");
        assert_eq!(
            (&said["status"], &said["state"], &said["critical"]),
            (&json!("fail"), &json!("down"), &json!(true)),
            "{said}"
        );
        assert_eq!(self.status("/health/live").await, StatusCode::OK);
        assert_eq!(self.status("/health/startup").await, StatusCode::OK);
        assert_eq!(self.status("/nothing").await, StatusCode::NOT_FOUND);
    }

    async fn is_up(&self) {
        let said = self.database().await;
        assert_eq!(said["ready"], 200, "{said}");
        assert_eq!(said["state"], "up", "{said}");
    }
}

/// Storage in memory that answers probes as it is told.
#[derive(Debug)]
struct Moody {
    inner: MemoryStorage,
    mood: Arc<AtomicU8>,
}

const WELL: u8 = 0;
const FAILING: u8 = 1;
const HANGING: u8 = 2;

#[async_trait]
impl Storage for Moody {
    async fn names(&self) -> Result<Vec<TenantName>, StoreError> {
        self.inner.names().await
    }

    async fn create(&self, name: &TenantName) -> Result<bool, StoreError> {
        self.inner.create(name).await
    }

    async fn open(&self, name: &TenantName) -> Result<Option<Arc<dyn Log>>, StoreError> {
        self.inner.open(name).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        match self.mood.load(Ordering::SeqCst) {
            WELL => Ok(()),
            FAILING => Err(StoreError::Unavailable("the disk is full".into())),
            _ => std::future::pending().await,
        }
    }
}

async fn moody(mood: u8) -> (Checked, Arc<AtomicU8>) {
    let mood = Arc::new(AtomicU8::new(mood));
    let told = mood.clone();
    let storage = |clock: &Clock| -> Arc<dyn Storage> {
        let inner = MemoryStorage::new(clock.clone());
        Arc::new(Moody { inner, mood: told })
    };
    (Checked::on(storage).await, mood)
}

#[tokio::test]
async fn health_is_told_to_anybody_and_never_limited() {
    let (checked, _) = moody(WELL).await;
    for path in ["/health/live", "/health/ready", "/health/startup"] {
        for _ in 0..2000 {
            let answered = checked.service.get(path, None).await;
            assert_eq!(answered.status, StatusCode::OK);
            assert_eq!(answered.body["status"], "pass");
            assert_eq!(answered.headers["content-type"], "application/health+json");
            assert_eq!(answered.headers["cache-control"], "no-store");
        }
    }
}

#[tokio::test]
async fn until_the_database_was_seen_it_has_not_started() {
    let (checked, mood) = moody(FAILING).await;
    for path in ["/health/ready", "/health/startup"] {
        assert_eq!(checked.status(path).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(checked.status("/health/live").await, StatusCode::OK);
    mood.store(WELL, Ordering::SeqCst);
    checked.check().await;
    for path in ["/health/ready", "/health/startup", "/health/live"] {
        assert_eq!(checked.status(path).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn one_check_that_fails_is_no_outage_and_two_are() {
    let (checked, mood) = moody(WELL).await;
    mood.store(FAILING, Ordering::SeqCst);
    checked.check().await;
    checked.is_up().await;
    checked.check().await;
    checked.is_down().await;
    mood.store(WELL, Ordering::SeqCst);
    checked.check().await;
    checked.is_up().await;
}

#[tokio::test]
async fn a_database_that_hangs_holds_up_no_answer() {
    let (checked, mood) = moody(WELL).await;
    mood.store(HANGING, Ordering::SeqCst);
    // The check begins, and is given up after its time.
    for _ in 0..2 {
        checked.service.time.advance(Duration::from_secs(5));
        tokio::task::yield_now().await;
        checked.service.time.advance(Duration::from_secs(2));
        checked.has_checked().await;
    }
    checked.is_down().await;
}

// ---- files ----

async fn on_files(folder: &Path) -> Checked {
    std::fs::create_dir(folder).unwrap();
    Checked::on(|_| Arc::new(Files::new(folder))).await
}

#[tokio::test]
async fn a_data_folder_that_is_lost_is_noticed_and_so_is_its_return() {
    let outer = tempfile::tempdir().unwrap();
    let (folder, aside) = (outer.path().join("tenants"), outer.path().join("aside"));
    let checked = on_files(&folder).await;
    checked.is_up().await;
    // What is open stays open, and would go on as if nothing had happened.
    let acme = "acme".parse().unwrap();
    let _tenant = checked.service.app.registry().get(&acme).await.unwrap();
    std::fs::rename(&folder, &aside).unwrap();
    checked.check().await;
    checked.check().await;
    checked.is_down().await;
    std::fs::rename(&aside, &folder).unwrap();
    checked.check().await;
    checked.is_up().await;
}

#[tokio::test]
async fn a_tenant_that_is_damaged_takes_nobody_else_out_of_service() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("tenants");
    let checked = on_files(&folder).await;
    std::fs::write(folder.join("acme.sqlite"), vec![7; 5000]).unwrap();
    let registry = checked.service.app.registry();
    assert!(registry.get(&"acme".parse().unwrap()).await.is_err());
    for _ in 0..3 {
        checked.check().await;
        checked.is_up().await;
    }
    assert!(registry.get(&"beta".parse().unwrap()).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_read_back_is_no_database() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("tenants");
    let checked = on_files(&folder).await;
    std::fs::write(folder.join("probe"), vec![7; 5000]).unwrap();
    checked.check().await;
    checked.check().await;
    checked.is_down().await;
}
