//! Tenants are opened once, kept while they are used, closed when they are not, and damaged alone.
#![allow(clippy::unwrap_used)] // the lint takes what tests share for no test

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pm_core::Clock;
use pm_server::{
    domain::{Id, Mutation, Operation},
    store::{Activity, Applied, Log, Page, Position, Scope, Snapshot, StoreError},
    sync::Failure,
    tenant::{
        Files, MemoryStorage, Registry, RegistryError, RegistryLimits, Storage, Tenant, TenantName,
    },
};
use tokio::sync::Semaphore;

fn name(text: &str) -> TenantName {
    text.parse().expect("a valid name")
}

fn mutation(byte: u8) -> Mutation {
    Mutation {
        id: Id::from_bytes([byte; 16]),
        digest: [byte; 16],
        actor: "ada".into(),
        at_us: 0,
        operation: Operation::CreateProject {
            id: Id::from_bytes([byte; 16]),
            name: "Roadmap".to_owned(),
        },
    }
}

/// Counts what happens to the logs of another storage, fails on request, and panics if a log is
/// opened while it is open.
#[derive(Debug)]
struct Watched<S> {
    inner: S,
    opens: AtomicUsize,
    open: Arc<Mutex<HashMap<TenantName, usize>>>,
    damaged: Mutex<Option<TenantName>>,
    /// One permit for each log that may be opened.
    gate: Semaphore,
}

impl<S: Storage> Watched<S> {
    fn new(inner: S) -> Arc<Self> {
        Arc::new(Self {
            inner,
            opens: AtomicUsize::new(0),
            open: Arc::default(),
            damaged: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn opens(&self) -> usize {
        self.opens.load(Ordering::SeqCst)
    }

    fn open_now(&self) -> usize {
        self.open.lock().expect("no panic").values().sum()
    }
}

#[async_trait]
impl<S: Storage> Storage for Watched<S> {
    async fn names(&self) -> Result<Vec<TenantName>, StoreError> {
        self.inner.names().await
    }

    async fn create(&self, name: &TenantName) -> Result<bool, StoreError> {
        self.inner.create(name).await
    }

    async fn open(&self, name: &TenantName) -> Result<Option<Arc<dyn Log>>, StoreError> {
        self.opens.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("never closed").forget();
        if self.damaged.lock().expect("no panic").as_ref() == Some(name) {
            return Err(StoreError::Corrupt {
                what: "a page is torn".to_owned(),
                source: None,
            });
        }
        let Some(log) = self.inner.open(name).await? else {
            return Ok(None);
        };
        let before = self.open.lock().expect("no panic").insert(name.clone(), 1);
        assert_eq!(before.unwrap_or(0), 0, "{name} is open already");
        let open = self.open.clone();
        let name = name.clone();
        Ok(Some(Arc::new(WatchedLog { log, name, open })))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.inner.probe().await
    }
}

#[derive(Debug)]
struct WatchedLog {
    log: Arc<dyn Log>,
    name: TenantName,
    open: Arc<Mutex<HashMap<TenantName, usize>>>,
}

#[async_trait]
impl Log for WatchedLog {
    async fn head(&self) -> Result<Position, StoreError> {
        self.log.head().await
    }

    async fn apply(&self, group: &[Mutation]) -> Result<Applied, StoreError> {
        self.log.apply(group).await
    }

    async fn read(&self, scope: Scope, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.log.read(scope, after, limit).await
    }

    async fn snapshot(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        self.log.snapshot(scope).await
    }

    async fn item(&self, id: Id, limit: usize) -> Result<Option<Activity>, StoreError> {
        self.log.item(id, limit).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.log.close().await?;
        self.open
            .lock()
            .expect("no panic")
            .insert(self.name.clone(), 0);
        Ok(())
    }
}

/// A registry of tenants `t0`, `t1`, … in memory, under a manual clock.
async fn registry(
    count: usize,
    max_open: usize,
) -> (
    Registry,
    Arc<Watched<MemoryStorage>>,
    Clock,
    pm_core::clock::ManualTime,
) {
    let (clock, time) = Clock::manual();
    let storage = Watched::new(MemoryStorage::new(clock.clone()));
    for tenant in 0..count {
        assert!(
            storage
                .create(&name(&format!("t{tenant}")))
                .await
                .expect("memory does not fail")
        );
    }
    let limits = RegistryLimits {
        max_open,
        ..RegistryLimits::default()
    };
    let registry = Registry::new(storage.clone(), clock.clone(), limits);
    (registry, storage, clock, time)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_who_come_first_open_and_migrate_once() {
    let folder = tempfile::tempdir().unwrap();
    // A creation that was interrupted: there is a file, and nothing in it yet.
    std::fs::write(folder.path().join("acme.sqlite"), "").unwrap();
    let storage = Watched::new(Files::new(folder.path()));
    let registry = Registry::new(storage.clone(), Clock::system(), RegistryLimits::default());
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move { registry.get(&name("acme")).await.unwrap() })
        })
        .collect();
    let mut tenants: Vec<Arc<Tenant>> = Vec::new();
    for asked in asking {
        tenants.push(asked.await.unwrap());
    }
    assert!(
        tenants
            .iter()
            .all(|tenant| Arc::ptr_eq(tenant, &tenants[0]))
    );
    assert_eq!((storage.opens(), registry.open_count()), (1, 1));
    let epoch = tenants[0].log().head().await.unwrap().epoch;
    registry.close().await;

    // Migrated once, it is the same tenant ever after.
    let again = Registry::new(storage.clone(), Clock::system(), RegistryLimits::default());
    let tenant = again.get(&name("acme")).await.unwrap();
    assert_eq!(tenant.log().head().await.unwrap().epoch, epoch);
    drop(tenant);
    again.close().await;
    assert_eq!(storage.open_now(), 0);
}

#[tokio::test]
async fn an_unknown_tenant_is_never_made() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(Files::new(folder.path()));
    let registry = Registry::new(storage, Clock::system(), RegistryLimits::default());
    let error = registry.get(&name("acme")).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Unknown(unknown) if unknown == "acme"));
    assert_eq!(error.retry_after(), None);
    assert_eq!(registry.open_count(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(registry.create(&name("acme")).await.unwrap());
    assert!(registry.get(&name("acme")).await.is_ok());
    registry.close().await;
}

#[tokio::test]
async fn whoever_gives_up_leaves_nothing_behind() {
    let (registry, storage, ..) = registry(1, 4).await;
    storage.gate.forget_permits(Semaphore::MAX_PERMITS);
    let name = name("t0");
    {
        let mut asking = std::pin::pin!(registry.get(&name));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(asking.as_mut().poll(&mut context).is_pending());
        assert_eq!((storage.opens(), registry.open_count()), (1, 1));
    }
    assert_eq!(registry.open_count(), 0);
    storage.gate.add_permits(1);
    assert!(registry.get(&name).await.is_ok());
    assert_eq!(storage.opens(), 2);
}

#[tokio::test]
async fn a_tenant_is_closed_after_five_minutes_without_users() {
    let (registry, storage, clock, time) = registry(2, 4).await;
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let busy = registry.get(&name("t0")).await.unwrap();
    drop(registry.get(&name("t1")).await.unwrap());
    assert_eq!(storage.open_now(), 2);

    time.advance(minutes(4));
    registry.close_idle(clock.now()).await;
    assert_eq!(storage.open_now(), 2, "not yet");
    drop(registry.get(&name("t1")).await.unwrap());
    time.advance(minutes(4));
    registry.close_idle(clock.now()).await;
    assert_eq!(storage.open_now(), 2, "it was used in between");
    time.advance(minutes(1));
    registry.close_idle(clock.now()).await;
    assert_eq!(storage.open_now(), 1);

    // Used for an hour by one who asked once.
    time.advance(minutes(60));
    registry.close_idle(clock.now()).await;
    drop(busy);
    time.advance(minutes(4));
    registry.close_idle(clock.now()).await;
    assert_eq!(
        storage.open_now(),
        1,
        "five minutes count from the last user"
    );
    time.advance(minutes(1));
    registry.close_idle(clock.now()).await;
    assert_eq!((storage.open_now(), registry.open_count()), (0, 0));

    assert!(registry.get(&name("t1")).await.is_ok());
    assert_eq!(storage.opens(), 3);
}

#[tokio::test]
async fn no_more_than_the_limit_are_open_and_unused_ones_make_room() {
    let (registry, storage, _, time) = registry(5, 3).await;
    let mut held = HashMap::new();
    for tenant in ["t0", "t1", "t2"] {
        held.insert(tenant, registry.get(&name(tenant)).await.unwrap());
        time.advance(Duration::from_secs(1));
    }
    let error = registry.get(&name("t3")).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Busy { max_open: 3 }),
        "{error:?}"
    );
    assert!(error.retry_after().is_some());
    assert_eq!(storage.opens(), 3);
    assert!(
        registry.get(&name("t0")).await.is_ok(),
        "those that are open are there"
    );

    // t0 was asked for last, so t1 is the one that was used least recently.
    held.remove("t0");
    held.remove("t1");
    held.insert("t3", registry.get(&name("t3")).await.unwrap());
    assert_eq!(storage.open.lock().unwrap()[&name("t1")], 0);
    assert_eq!(storage.open.lock().unwrap()[&name("t0")], 1);
    held.insert("t4", registry.get(&name("t4")).await.unwrap());
    assert_eq!(storage.open_now(), 3);
    assert!(registry.get(&name("t0")).await.is_err());
}

#[tokio::test]
async fn a_damaged_tenant_is_set_aside_alone_and_tried_again_later() {
    let (registry, storage, _, time) = registry(2, 4).await;
    *storage.damaged.lock().unwrap() = Some(name("t0"));
    for _ in 0..3 {
        let error = registry.get(&name("t0")).await.unwrap_err();
        assert!(
            matches!(error, RegistryError::Quarantined { .. }),
            "{error:?}"
        );
        assert_eq!(error.retry_after(), Some(Duration::from_secs(300)));
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("a page is torn"), "{source}");
    }
    assert_eq!(storage.opens(), 1, "it was looked at once");
    assert!(registry.get(&name("t1")).await.is_ok());
    assert_eq!(registry.open_count(), 1, "it takes no room");

    time.advance(Duration::from_secs(299));
    assert!(registry.get(&name("t0")).await.is_err());
    assert_eq!(storage.opens(), 2);
    *storage.damaged.lock().unwrap() = None;
    time.advance(Duration::from_secs(1));
    assert!(registry.get(&name("t0")).await.is_ok());
}

#[tokio::test]
async fn a_damaged_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("acme.sqlite"), vec![7; 8192]).unwrap();
    let storage = Arc::new(Files::new(folder.path()));
    let registry = Registry::new(storage, Clock::system(), RegistryLimits::default());
    registry.create(&name("beta")).await.unwrap();
    let error = registry.get(&name("acme")).await.unwrap_err();
    assert!(
        matches!(error, RegistryError::Quarantined { .. }),
        "{error:?}"
    );
    assert!(registry.get(&name("beta")).await.is_ok());
    registry.close().await;
}

/// Opening looks at the first page of a file only; what is torn further in is found in use.
#[tokio::test]
async fn damage_that_is_found_in_use_sets_the_tenant_aside() {
    let folder = tempfile::tempdir().unwrap();
    let files = Arc::new(Files::new(folder.path()));
    let (clock, _time) = Clock::manual();
    let registry = Registry::new(files.clone(), clock, RegistryLimits::default());
    for tenant in ["torn", "whole"] {
        registry.create(&name(tenant)).await.unwrap();
        let open = registry.get(&name(tenant)).await.unwrap();
        let group: Vec<_> = (1..=250).map(mutation).collect();
        open.log().apply(&group).await.unwrap();
        open.close().await.unwrap();
    }
    let path = folder.path().join("torn.sqlite");
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 10 * 4096, "there is something further in");
    bytes[2 * 4096..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();

    let (clock, time) = Clock::manual();
    let registry = Registry::new(files, clock, RegistryLimits::default());
    let whole = registry.get(&name("whole")).await.unwrap();
    let mut refused = None;
    for _ in 0..2 {
        match registry.get(&name("torn")).await {
            Ok(torn) => assert!(torn.log().snapshot(Scope::Tenant).await.is_err()),
            Err(error) => refused = Some(error),
        }
    }
    assert!(
        matches!(refused, Some(RegistryError::Quarantined { .. })),
        "{refused:?}"
    );
    assert_eq!(
        whole
            .log()
            .snapshot(Scope::Tenant)
            .await
            .unwrap()
            .projects
            .len(),
        250
    );
    drop(time);
}

#[tokio::test]
async fn closing_answers_what_was_submitted_and_then_refuses() {
    let (registry, storage, ..) = registry(1, 4).await;
    let tenant = registry.get(&name("t0")).await.unwrap();
    let pending = tenant.writer().submit(mutation(1)).unwrap();
    registry.close().await;
    assert_eq!(pending.await.unwrap().unwrap().rev, 1);
    assert_eq!(storage.open_now(), 0);
    let refused = tenant.writer().submit(mutation(2)).unwrap_err();
    assert_eq!(refused, Failure::Unavailable);
    let error = registry.get(&name("t0")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Closing), "{error:?}");
}

/// `Watched` panics if a tenant is opened while it is open, whatever order things happen in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_tenant_is_ever_open_twice() {
    let (registry, storage, clock, time) = registry(6, 3).await;
    let tasks: Vec<_> = (0..8_usize)
        .map(|task| {
            let (registry, clock, time) = (registry.clone(), clock.clone(), time.clone());
            tokio::spawn(async move {
                for round in 0..300 {
                    let tenant = name(&format!("t{}", (task * 7 + round * 5) % 6));
                    match registry.get(&tenant).await {
                        Ok(tenant) => {
                            tokio::task::yield_now().await;
                            assert!(tenant.log().head().await.is_ok());
                        }
                        Err(RegistryError::Busy { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    if round % 50 == task {
                        time.advance(Duration::from_secs(200));
                        registry.close_idle(clock.now()).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(storage.opens() > 6);
    registry.close().await;
    assert_eq!((storage.open_now(), registry.open_count()), (0, 0));
}
