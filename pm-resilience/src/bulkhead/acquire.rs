use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pm_core::clock::{Elapsed, Within};
use tokio::sync::{AcquireError, OwnedSemaphorePermit};

use super::bulkhead::Waiting;
use super::{Bulkhead, Permit};
use crate::{Reason, Rejection};

/// What [`Bulkhead::acquire`] returns: a permit, as soon as there is one. Only waiting allocates.
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire {
    bulkhead: Bulkhead,
    at_most: Duration,
    queued: Option<Queued>,
}

/// A place in the queue.
pub(super) struct Queued {
    /// The semaphore's future has no name.
    turn: Pin<Box<dyn Future<Output = Result<Acquired, Elapsed>> + Send + Sync>>,
    _waiting: Waiting,
}

type Acquired = Result<OwnedSemaphorePermit, AcquireError>;

impl Acquire {
    pub(super) const fn new(bulkhead: Bulkhead, at_most: Duration) -> Self {
        Self {
            bulkhead,
            at_most,
            queued: None,
        }
    }
}

impl Queued {
    pub(super) fn new<F>(turn: Within<F>, waiting: Waiting) -> Self
    where
        F: Future<Output = Acquired> + Send + Sync + 'static,
    {
        Self {
            turn: Box::pin(turn),
            _waiting: waiting,
        }
    }
}

impl Future for Acquire {
    type Output = Result<Permit, Rejection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            bulkhead,
            at_most,
            queued,
        } = &mut *self;
        let place = match queued {
            Some(place) => place,
            None => match bulkhead.look() {
                Some(permit) => return Poll::Ready(Ok(permit)),
                None => queued.insert(bulkhead.queue(*at_most)?),
            },
        };
        let turn = ready!(place.turn.as_mut().poll(cx));
        *queued = None;
        Poll::Ready(match turn {
            Ok(held) => Ok(bulkhead.permit(held.expect("the semaphore is never closed"))),
            Err(_) => Err(bulkhead.reject(Reason::WaitedTooLong)),
        })
    }
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("of", &self.bulkhead.name())
            .field("waits", &self.queued.is_some())
            .finish_non_exhaustive()
    }
}
