use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::Instrument;

use super::Hub;
use crate::{
    domain::{Mutation, Refusal},
    store::{Answer, Log, Scope, StoreError},
};

/// The most mutations that share one commit.
pub const GROUP: usize = 64;

/// The most mutations that wait for one tenant's writer.
const QUEUE: usize = 4096;

/// Most events that are read back at once after a commit whose outcome was unknown.
const PAGE: usize = 1024;

/// The way to the one task that writes a tenant's log.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<Submission>,
    closing: Arc<Notify>,
}

/// The answer to a submitted mutation, once it is durable and published.
pub type Pending = oneshot::Receiver<Result<Answer, Failure>>;

/// Why a mutation has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It was decided, and the decision is no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too many are waiting already; it was not looked at.
    #[error("too many changes are waiting; try again in a moment")]
    Overloaded,
    /// The log has not answered lately, and was not asked. The mutation was not applied.
    #[error("the storage does not answer; repeat the change, with the same mutation id")]
    NotAsked {
        /// When it will be asked again.
        retry_after: Duration,
    },
    /// The log failed. Whether the mutation was applied is known after repeating it.
    #[error("the change could not be confirmed; repeat it with the same mutation id")]
    Unavailable,
}

#[derive(Debug)]
struct Submission {
    mutation: Mutation,
    answer: oneshot::Sender<Result<Answer, Failure>>,
}

impl Writer {
    /// Starts the writer of `log`. **Spawns a task**, which ends once the writer is closed or every
    /// clone of it is dropped, and what was submitted is answered.
    #[must_use]
    pub fn spawn(tenant: &str, log: Arc<dyn Log>, hub: Hub) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, submissions) = mpsc::channel(QUEUE);
        let closing = Arc::new(Notify::new());
        let span = tracing::info_span!("writer", tenant);
        let task = tokio::spawn(write(log, hub, submissions, closing.clone()).instrument(span));
        (Self { queue, closing }, task)
    }

    /// Takes no more mutations, on any clone. Those that were submitted are still answered.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Queues a mutation. Those of one caller are applied in the order of its calls.
    ///
    /// # Errors
    ///
    /// [`Failure::Overloaded`] at once if the queue is full; [`Failure::Unavailable`] if the writer
    /// has ended.
    pub fn submit(&self, mutation: Mutation) -> Result<Pending, Failure> {
        let (answer, pending) = oneshot::channel();
        match self.queue.try_send(Submission { mutation, answer }) {
            Ok(()) => Ok(pending),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Failure::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Failure::Unavailable),
        }
    }
}

async fn write(
    log: Arc<dyn Log>,
    hub: Hub,
    mut submissions: mpsc::Receiver<Submission>,
    closing: Arc<Notify>,
) {
    let mut waiting = Vec::with_capacity(GROUP);
    loop {
        // Whatever queued while the last commit synced shares the next one; nobody waits for company.
        let received = tokio::select! {
            biased;
            () = closing.notified() => {
                submissions.close();
                continue;
            }
            received = submissions.recv_many(&mut waiting, GROUP) => received,
        };
        if received == 0 {
            return;
        }
        let (mutations, answers): (Vec<_>, Vec<_>) = waiting
            .drain(..)
            .map(|submission| (submission.mutation, submission.answer))
            .unzip();
        let results = apply(&*log, &hub, &mutations).await;
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever asked may be gone; the change is not.
            let _ = answer.send(result);
        }
    }
}

/// Applies one group and publishes its events, in this order; then the answers may go out. A result
/// per mutation.
///
/// A row that the storage refuses sends the group through one by one, so that one bad mutation fails
/// alone.
pub async fn apply(log: &dyn Log, hub: &Hub, group: &[Mutation]) -> Vec<Result<Answer, Failure>> {
    match log.apply(group).await {
        Ok(applied) => {
            hub.publish(&applied.entries);
            applied
                .answers
                .into_iter()
                .map(|answer| answer.map_err(Failure::Refused))
                .collect()
        }
        Err(StoreError::Constraint(_)) if group.len() > 1 => {
            let mut results = Vec::with_capacity(group.len());
            for mutation in group {
                let alone = std::slice::from_ref(mutation);
                results.extend(Box::pin(apply(log, hub, alone)).await);
            }
            results
        }
        // Nothing happened, and what led to it was logged.
        Err(error @ StoreError::NotAsked(_)) => {
            let retry_after = error.retry_after().unwrap_or_default();
            vec![Err(Failure::NotAsked { retry_after }); group.len()]
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a group was not confirmed"
            );
            publish_confirmed(log, hub).await;
            vec![Err(Failure::Unavailable); group.len()]
        }
    }
}

/// The commit may have happened although its confirmation was lost: the log knows.
async fn publish_confirmed(log: &dyn Log, hub: &Hub) {
    loop {
        match log.read(Scope::Tenant, hub.head().rev, PAGE).await {
            Ok(page) if page.entries.is_empty() => return,
            Ok(page) => hub.publish(&page.entries),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the log cannot be read"
                );
                return;
            }
        }
    }
}
