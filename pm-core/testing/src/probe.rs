use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tower_service::Service;

/// An inner service for tests of layers.
///
/// It keeps tower's contract strictly: every instance, a clone too, must itself have answered
/// `Ready(Ok(()))` before each call, and a call on one that has not panics, which fails the test.
pub struct ServiceProbe<Req, Res> {
    respond: Arc<dyn Fn(Req) -> Res + Send + Sync>,
    handle: ProbeHandle,
    /// Whether this instance was asked, and is ready for one call.
    ready: bool,
}

impl<Req, Res> ServiceProbe<Req, Res> {
    /// A probe that answers with `respond`, always ready at first, and the handle on it and on all
    /// of its clones.
    pub fn new(respond: impl Fn(Req) -> Res + Send + Sync + 'static) -> (Self, ProbeHandle) {
        let handle = ProbeHandle::default();
        let probe = Self {
            respond: Arc::new(respond),
            handle: handle.clone(),
            ready: false,
        };
        (probe, handle)
    }
}

impl<Req, Res> Service<Req> for ServiceProbe<Req, Res> {
    type Response = Res;
    type Error = ProbeError;
    type Future = ProbeFuture<Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
        let mut state = self.handle.state();
        state.polls += 1;
        match state.readiness {
            Gate::Failing => return Poll::Ready(Err(ProbeError::Readiness)),
            Gate::Held => {
                state.wakers.push(cx.waker().clone());
                return Poll::Pending;
            }
            Gate::Open => {}
        }
        if !self.ready {
            self.ready = true;
            state.readied += 1;
            state.reserved += 1;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> ProbeFuture<Res> {
        assert!(
            self.ready,
            "called without readiness: poll_ready must have returned Ready(Ok(())) on this very \
             instance, after its last call"
        );
        self.ready = false;
        let mut state = self.handle.state();
        state.reserved -= 1;
        state.calls += 1;
        state.in_flight += 1;
        drop(state);
        ProbeFuture {
            response: Some((self.respond)(request)),
            in_flight: InFlight {
                handle: self.handle.clone(),
                answered: false,
            },
        }
    }
}

/// The clone is not ready, whatever the original is.
impl<Req, Res> Clone for ServiceProbe<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            respond: Arc::clone(&self.respond),
            handle: self.handle.clone(),
            ready: false,
        }
    }
}

impl<Req, Res> Drop for ServiceProbe<Req, Res> {
    fn drop(&mut self) {
        if self.ready {
            self.handle.state().reserved -= 1;
        }
    }
}

impl<Req, Res> fmt::Debug for ServiceProbe<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceProbe")
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

/// The response future of [`ServiceProbe`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct ProbeFuture<Res> {
    response: Option<Res>,
    in_flight: InFlight,
}

/// Nothing in it is pinned, a response that wants to be least of all.
impl<Res> Unpin for ProbeFuture<Res> {}

impl<Res> Future for ProbeFuture<Res> {
    type Output = Result<Res, ProbeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut state = this.in_flight.handle.state();
        let result = match state.answers {
            Gate::Held => {
                state.wakers.push(cx.waker().clone());
                return Poll::Pending;
            }
            Gate::Failing => Err(ProbeError::Call),
            Gate::Open => Ok(this.response.take().expect("not polled after it was done")),
        };
        state.answered += 1;
        drop(state);
        this.in_flight.answered = true;
        Poll::Ready(result)
    }
}

/// Counted on drop, so that a future which is dropped unfinished is seen.
#[derive(Debug)]
struct InFlight {
    handle: ProbeHandle,
    answered: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.handle.state();
        state.in_flight -= 1;
        if !self.answered {
            state.cancelled += 1;
        }
    }
}

/// Sees and steers a [`ServiceProbe`] with all of its clones.
#[derive(Clone, Debug, Default)]
pub struct ProbeHandle(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    readiness: Gate,
    answers: Gate,
    wakers: Vec<Waker>,
    polls: usize,
    readied: usize,
    reserved: usize,
    calls: usize,
    in_flight: usize,
    answered: usize,
    cancelled: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Gate {
    Failing,
    Held,
    #[default]
    Open,
}

impl ProbeHandle {
    /// From now on `poll_ready` is pending.
    pub fn hold_readiness(&self) {
        self.state().readiness = Gate::Held;
    }

    /// From now on `poll_ready` fails with [`ProbeError::Readiness`].
    pub fn fail_readiness(&self) {
        self.turn(|state| state.readiness = Gate::Failing);
    }

    /// From now on `poll_ready` is ready; whoever waits for it is woken.
    pub fn grant_readiness(&self) {
        self.turn(|state| state.readiness = Gate::Open);
    }

    /// From now on responses are pending, those of earlier calls too.
    pub fn hold_answers(&self) {
        self.state().answers = Gate::Held;
    }

    /// From now on calls fail with [`ProbeError::Call`].
    pub fn fail_answers(&self) {
        self.turn(|state| state.answers = Gate::Failing);
    }

    /// From now on calls are answered; whoever waits for an answer is woken.
    pub fn release_answers(&self) {
        self.turn(|state| state.answers = Gate::Open);
    }

    /// How often `poll_ready` was called.
    #[must_use]
    pub fn polls(&self) -> usize {
        self.state().polls
    }

    /// How often an instance became ready.
    #[must_use]
    pub fn readied(&self) -> usize {
        self.state().readied
    }

    /// How many instances are ready right now: what a layer has reserved and neither used nor
    /// dropped.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.state().reserved
    }

    /// How many calls there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// How many response futures are alive.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state().in_flight
    }

    /// How many calls were answered, with a response or an error.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.state().answered
    }

    /// How many response futures were dropped before they were done.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.state().cancelled
    }

    fn turn(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }

    /// A probe is looked at after a panic too: that is how a failed test unwinds.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a [`ServiceProbe`] fails when it is told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeError {
    /// A call failed.
    Call,
    /// `poll_ready` failed.
    Readiness,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "the probe was told to fail calls",
            Self::Readiness => "the probe was told to fail readiness",
        })
    }
}

impl Error for ProbeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive;

    fn poll_ready(probe: &mut ServiceProbe<u8, u8>) -> Poll<Result<(), ProbeError>> {
        probe.poll_ready(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    #[should_panic(expected = "called without readiness")]
    fn a_call_on_the_clone_of_a_ready_instance_fails_the_test() {
        let (mut probe, _) = ServiceProbe::new(|n: u8| n);
        assert!(poll_ready(&mut probe).is_ready());
        drop(probe.clone().call(1));
    }

    #[test]
    #[should_panic(expected = "called without readiness")]
    fn readiness_is_used_up_by_a_call() {
        let (mut probe, _) = ServiceProbe::new(|n: u8| n);
        assert!(poll_ready(&mut probe).is_ready());
        drop(probe.call(1));
        drop(probe.call(2));
    }

    #[test]
    fn everything_is_counted() {
        let (mut probe, handle) = ServiceProbe::new(|n: u8| n + 1);
        handle.hold_readiness();
        assert!(poll_ready(&mut probe).is_pending());
        handle.grant_readiness();
        assert!(poll_ready(&mut probe).is_ready() && poll_ready(&mut probe).is_ready());
        assert_eq!(
            (handle.polls(), handle.readied(), handle.reserved()),
            (3, 1, 1)
        );

        let answer = probe.call(1);
        assert_eq!(
            (handle.reserved(), handle.calls(), handle.in_flight()),
            (0, 1, 1)
        );
        assert_eq!(drive(answer), Ok(2));
        assert_eq!(
            (handle.in_flight(), handle.answered(), handle.cancelled()),
            (0, 1, 0)
        );

        assert!(poll_ready(&mut probe).is_ready());
        drop(probe.call(1));
        assert_eq!(handle.cancelled(), 1);

        assert!(poll_ready(&mut probe).is_ready());
        drop(probe);
        assert_eq!(handle.reserved(), 0);
    }

    #[test]
    fn it_fails_when_it_is_told_to() {
        let (mut probe, handle) = ServiceProbe::new(|n: u8| n);
        handle.fail_readiness();
        assert_eq!(
            poll_ready(&mut probe),
            Poll::Ready(Err(ProbeError::Readiness))
        );
        handle.grant_readiness();
        handle.fail_answers();
        assert!(poll_ready(&mut probe).is_ready());
        assert_eq!(drive(probe.call(1)), Err(ProbeError::Call));
    }
}
