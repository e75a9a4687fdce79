use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use pm_core::Tick;
use pm_core::clock::Sleep;

use super::hold::Hold;
use super::moment::Moment;
use crate::breaker::{Ending, Permit, Until};
use crate::bulkhead::{self, Acquire};
use crate::limit;
use crate::slow_log::Operation;
use crate::timeout::Timed;
use crate::{Class, Deadline, Error, Outcome, Pattern, Priority, Reason, Rejection, TimedOut};

/// What is called, as far as the policy cares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) operation: &'static str,
    pub(super) class: Class,
    pub(super) priority: Priority,
    pub(super) repeatable: bool,
}

pin_project! {
    /// One operation on its way through a policy. All of the logic is here; who makes the attempts
    /// is told with each poll.
    pub(super) struct Guarded<H: Hold, F: Future> {
        hold: H,
        deadline: Option<Deadline>,
        began: Option<Tick>,
        attempt: u32,
        // How the last attempt ended, until the next one begins.
        last: Option<Result<F::Output, TimedOut>>,
        #[pin]
        state: State<H, F>,
        // Until the operation has ended. Behind the state, because fields are dropped in this order.
        admitted: Option<limit::Permit>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<H: Hold, F> {
        Begun,
        // Without a permit of the breaker: it may have opened when there is a place.
        Queued { acquire: Acquire },
        Attempting {
            #[pin]
            timed: Timed<F>,
            curtailed: bool,
            // Behind the attempt, because fields are dropped in this order. Gone with its end.
            permit: Option<Permit<H>>,
            place: Option<bulkhead::Permit>,
        },
        Waiting {
            #[pin]
            sleep: Sleep,
        },
        Done,
    }
}

impl<H: Hold, F: Future> Guarded<H, F> {
    /// Under this deadline, or under the one that is current when it is polled first.
    pub(super) const fn new(hold: H, deadline: Option<Deadline>) -> Self {
        Self {
            hold,
            deadline,
            began: None,
            attempt: 0,
            last: None,
            state: State::Begun,
            admitted: None,
        }
    }

    pub(super) const fn hold(&self) -> &H {
        &self.hold
    }

    /// What it has to be done by, once it has been polled.
    pub(super) const fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }
}

impl<H, F, T, E> Guarded<H, F>
where
    H: Hold,
    F: Future<Output = Result<T, E>>,
{
    /// `make` is called for each attempt, with what the deadline leaves it if there is one.
    pub(super) fn poll<U: Until<H::Classifier, T, E, H>>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        task: Task,
        mut make: impl FnMut(Option<Duration>) -> F,
    ) -> Poll<Result<U::Response, Error<E>>> {
        let mut this = self.project();
        let parts = this.hold.parts();
        let (ended, moment) = loop {
            // Whoever wants to know the time here wants the same: before an attempt, or behind it.
            let moment = Moment::of(&parts.clock);
            let mut begins = false;
            let mut place = None;
            match this.state.as_mut().project() {
                StateProj::Begun => {
                    begins = true;
                    *this.deadline = earlier(*this.deadline, Deadline::current());
                    if parts.slow_log.is_some() {
                        *this.began = Some(moment.now());
                    }
                }
                StateProj::Queued { acquire } => match ready!(Pin::new(acquire).poll(cx)) {
                    Ok(permit) => place = Some(permit),
                    Err(rejection) => break (Err(rejection), moment),
                },
                StateProj::Waiting { sleep } => ready!(sleep.poll(cx)),
                StateProj::Attempting {
                    timed,
                    curtailed,
                    permit,
                    ..
                } => {
                    let Poll::Ready(result) = timed.poll(cx) else {
                        if let Some(permit) = permit {
                            permit.waiting();
                        }
                        return Poll::Pending;
                    };
                    let permit = permit.take().expect("an attempt ends once");
                    let (outcome, permit) = match &result {
                        Ok(result) => {
                            let outcome = U::outcome(result.as_ref(), &parts.classify, &permit);
                            (outcome, Some(permit))
                        }
                        Err(_) => {
                            permit.timed_out();
                            let outcome = if *curtailed {
                                parts.deadlines.cut();
                                Outcome::Ignored
                            } else {
                                parts.timeout.cut_off(task.class);
                                Outcome::retryable()
                            };
                            (outcome, None)
                        }
                    };
                    // A limit learns from first attempts: what comes behind them was waited for.
                    if let Some(admitted) = this.admitted {
                        admitted.tell(outcome);
                    }
                    let again = parts.retry.as_ref().filter(|_| task.repeatable);
                    let again = again.and_then(|retry| {
                        let decision = retry.decide(*this.attempt, outcome, *this.deadline);
                        decision.ok().map(|again| retry.clock().sleep_until(again))
                    });
                    let Some(sleep) = again else {
                        break (Ok((result, outcome, permit)), moment);
                    };
                    if let Some(permit) = permit {
                        permit.settle(outcome);
                    }
                    *this.last = Some(result);
                    this.state.set(State::Waiting { sleep });
                    continue;
                }
                StateProj::Done => panic!("polled after it was done"),
            }

            let mut after = parts.timeout.of(task.class);
            let left = this
                .deadline
                .map(|deadline| deadline.remaining(moment.now()));
            if left.is_some_and(|left| left.is_zero()) {
                let name = Arc::clone(&parts.name);
                let passed = Rejection::new(name, Pattern::Deadline, Reason::DeadlinePassed);
                parts.deadlines.rejected();
                break (Err(passed), moment);
            }
            if begins {
                match parts.admit(task.priority) {
                    Ok(admitted) => *this.admitted = admitted,
                    Err(rejection) => break (Err(rejection), moment),
                }
                if let Some(retry) = &parts.retry {
                    retry.begin();
                }
            }
            let mut permit = match Permit::try_acquire(this.hold.clone()) {
                Ok(permit) => permit,
                Err(rejection) => break (Err(rejection), moment),
            };
            if let (Some(bulkhead), None) = (&parts.bulkhead, &place) {
                place = bulkhead.look();
                if place.is_none() {
                    permit.ignore();
                    let acquire = bulkhead.acquire_within(left.unwrap_or(Duration::MAX));
                    this.state.set(State::Queued { acquire });
                    continue;
                }
            }
            let curtailed = left.is_some_and(|left| left < after);
            if let Some(left) = left.filter(|_| curtailed) {
                permit.curtail();
                after = left;
            }
            *this.attempt += 1;
            *this.last = None;
            let inner = make(left.map(|_| after));
            let clock = parts.clock.clone();
            // A deadline does not wait for the first wait.
            let timed = match curtailed {
                true => Timed::until(inner, task.class, after, moment.now() + after, clock),
                false => Timed::new(inner, task.class, after, clock),
            };
            this.state.set(State::Attempting {
                timed,
                curtailed,
                permit: Some(permit),
                place,
            });
        };
        let result = match (ended, this.last.take()) {
            (Ok((Ok(result), outcome, Some(permit))), _) => {
                let ending =
                    Ending::new(permit, |hold, outcome| hold.parts().metrics.ended(outcome));
                U::end(result, outcome, &parts.classify, ending).map_err(Error::Inner)
            }
            // A rejection says that nothing was called, which is not true behind an attempt: that one
            // was to be made again.
            (Ok((Ok(result), ..)), _) | (Err(_), Some(Ok(result))) => {
                parts.metrics.ended(Outcome::retryable());
                U::settled(result, &parts.classify).map_err(Error::Inner)
            }
            (Ok((Err(timed_out), ..)), _) | (Err(_), Some(Err(timed_out))) => {
                parts.metrics.timed_out();
                Err(timed_out.into())
            }
            (Err(rejection), None) => {
                parts.metrics.rejected();
                Err(rejection.into())
            }
        };
        this.state.set(State::Done);
        *this.admitted = None;
        if let Some((log, began)) = parts.slow_log.as_ref().zip(*this.began) {
            let took = moment.now().saturating_duration_since(began);
            let operation = Operation::new(task.operation, task.class, took);
            let breaker = parts.breaker.state();
            log.note(&operation.with_attempt(*this.attempt).with_breaker(breaker));
        }
        Poll::Ready(result)
    }
}

pub(super) fn earlier(one: Option<Deadline>, other: Option<Deadline>) -> Option<Deadline> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
