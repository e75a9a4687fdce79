//! A log that does as it is told.

use std::{
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
    store::{Activity, Applied, Log, MemoryLog, Page, Position, Scope, Snapshot, StoreError},
    tenant::{Storage, TenantName},
};

/// How a call goes.
#[derive(Clone, Copy, Debug)]
pub enum Mood {
    Well,
    Fails,
    Refuses,
    /// It is done, and nobody is told.
    LosesAnswers,
    Takes(Duration),
}

/// A log in memory whose reads and writes have a mood each, and are counted.
#[derive(Clone, Debug)]
pub struct Moody {
    log: Arc<MemoryLog>,
    clock: Clock,
    reads: Arc<Mutex<Mood>>,
    writes: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
}

impl Moody {
    pub fn new(clock: &Clock) -> Self {
        Self {
            log: Arc::new(MemoryLog::new(Id::from_bytes([9; 16]))),
            clock: clock.clone(),
            reads: Arc::new(Mutex::new(Mood::Well)),
            writes: Arc::new(Mutex::new(Mood::Well)),
            asked: Arc::default(),
        }
    }

    pub fn reads(&self, mood: Mood) {
        *self.reads.lock().unwrap() = mood;
    }

    pub fn writes(&self, mood: Mood) {
        *self.writes.lock().unwrap() = mood;
    }

    /// How often it was asked for anything.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn answer<T>(
        &self,
        mood: &Mutex<Mood>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *mood.lock().unwrap();
        match mood {
            Mood::Well => call.await,
            Mood::Fails => Err(StoreError::Unavailable("the disk is full".into())),
            Mood::Refuses => Err(StoreError::Constraint("no such row".into())),
            Mood::LosesAnswers => {
                call.await?;
                std::future::pending().await
            }
            Mood::Takes(time) => {
                self.clock.sleep_until(self.clock.now() + time).await;
                call.await
            }
        }
    }
}

#[async_trait]
impl Log for Moody {
    async fn head(&self) -> Result<Position, StoreError> {
        self.answer(&self.reads, self.log.head()).await
    }

    async fn apply(&self, group: &[Mutation]) -> Result<Applied, StoreError> {
        self.answer(&self.writes, self.log.apply(group)).await
    }

    async fn read(&self, scope: Scope, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.answer(&self.reads, self.log.read(scope, after, limit))
            .await
    }

    async fn snapshot(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        self.answer(&self.reads, self.log.snapshot(scope)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.log.close().await
    }

    async fn item(&self, id: Id, limit: usize) -> Result<Option<Activity>, StoreError> {
        self.answer(&self.reads, self.log.item(id, limit)).await
    }
}

/// All tenants are in this one log.
#[async_trait]
impl Storage for Moody {
    async fn names(&self) -> Result<Vec<TenantName>, StoreError> {
        Ok(Vec::new())
    }

    async fn create(&self, _: &TenantName) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn open(&self, _: &TenantName) -> Result<Option<Arc<dyn Log>>, StoreError> {
        Ok(Some(Arc::new(self.clone())))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.log.head().await.map(drop)
    }
}

/// Creates a project, each byte another one.
pub fn mutation(byte: u8) -> Mutation {
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
