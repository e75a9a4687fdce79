use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pm_core::{Clock, Tick, clock::Sleep};

use crate::r#gen as pb;

/// For a heartbeat that is on its way.
const GRACE: Duration = Duration::from_secs(5);

/// Notices that nothing comes any more.
pub(super) struct Silence {
    clock: Clock,
    limit: Duration,
    heard: Tick,
    alarm: Pin<Box<Sleep>>,
}

impl Silence {
    /// `None` if the server promises no heartbeat.
    pub(super) fn of(welcome: &pb::Welcome, clock: &Clock) -> Option<Self> {
        if welcome.heartbeat_ms == 0 {
            return None;
        }
        let promised = u64::from(welcome.heartbeat_ms) + u64::from(welcome.pong_within_ms);
        let limit = Duration::from_millis(promised) + GRACE;
        let heard = clock.now();
        Some(Self {
            alarm: Box::pin(clock.sleep_until(heard + limit)),
            clock: clock.clone(),
            limit,
            heard,
        })
    }

    /// Something was heard.
    pub(super) fn broken(&mut self) {
        self.heard = self.clock.now();
    }

    /// After how long it is one.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Ready once nothing was heard for too long.
    ///
    /// The alarm is moved only when it goes off: moving a timer with every message would cost more
    /// than the message.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            let deadline = self.heard + self.limit;
            if self.clock.now() >= deadline {
                return Poll::Ready(());
            }
            self.alarm.set(self.clock.sleep_until(deadline));
        }
    }
}
