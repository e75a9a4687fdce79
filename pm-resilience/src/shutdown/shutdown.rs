use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Tick};

use super::hook::{Done, Hook};
use super::settings::ABORT;
use super::{Drain, Ended, Kind, Phase, ShutdownSettings, Signal, Summary};
use crate::telemetry::shutdown as telemetry;

/// Takes a process down in order; see the [module documentation](super).
#[derive(Debug)]
#[must_use = "nothing goes down until it is run"]
pub struct Shutdown {
    drain: Drain,
    clock: Clock,
    hooks: Vec<Hook>,
}

impl Shutdown {
    /// A process that serves, and will go down within these times.
    ///
    /// # Errors
    ///
    /// If the phases do not fit into the budget.
    pub fn new(settings: ShutdownSettings) -> Result<Self, InvalidSetting> {
        let drain = Drain::new(settings)?;
        telemetry::entered(Phase::Serving);
        Ok(Self {
            drain,
            clock: Clock::system(),
            hooks: Vec::new(),
        })
    }

    /// The same, on another clock than the machine's.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What everybody looks at, follows, and is counted by.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Has `work` done in the closing phase, behind the hooks that are there already, within a share
    /// of its time that is its own: a hook that hangs or panics takes nothing from the next one.
    ///
    /// # Errors
    ///
    /// If not so much of `close` is left; nothing is changed then.
    pub fn hook(
        &mut self,
        name: impl Into<String>,
        share: Duration,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), InvalidSetting> {
        self.drain.promise(share)?;
        self.hooks.push(Hook::new(name.into(), share, work));
        Ok(())
    }

    /// Waits for the first signal, or for [`Drain::stop`], then goes through the phases. The second
    /// signal ends it at once.
    ///
    /// Ends within [`ShutdownSettings::longest`] of the first signal, whatever hangs. A stream that
    /// ends sends no more signals. Says in one line of the log how it went. Dropping the future leaves
    /// the phase as it is.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(self, signals: impl Stream<Item = Signal>) -> Summary {
        let mut signals = Signalled {
            stream: Some(pin!(signals)),
        };
        {
            let mut asked = pin!(self.drain.asked());
            let by = poll_fn(|cx| match signals.poll_next(cx) {
                Poll::Ready(signal) => Poll::Ready(Some(signal)),
                Poll::Pending => asked.as_mut().poll(cx).map(|()| None),
            });
            let by = by.await.map_or("a call", |signal| signal.as_str());
            tracing::info!(by, "asked to stop: not ready any more");
        }
        let mut descent = Descent::begin(self);
        let forced = {
            let mut in_order = pin!(descent.in_order());
            let ended = poll_fn(|cx| match signals.poll_next(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending => in_order.as_mut().poll(cx).map(|()| false),
            });
            ended.await
        };
        descent.end(forced)
    }
}

/// The signals, until there are no more.
struct Signalled<'a, S> {
    stream: Option<Pin<&'a mut S>>,
}

impl<S: Stream<Item = Signal>> Signalled<'_, S> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        match self
            .stream
            .as_mut()
            .map(|stream| stream.as_mut().poll_next(cx))
        {
            Some(Poll::Ready(Some(signal))) => Poll::Ready(signal),
            Some(Poll::Ready(None)) => {
                self.stream = None;
                Poll::Pending
            }
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

/// A process on its way down.
struct Descent {
    drain: Drain,
    clock: Clock,
    settings: ShutdownSettings,
    hooks: std::vec::IntoIter<Hook>,
    /// How many have not ended.
    hooks_left: u64,
    hooks_failed: u64,
    began: Tick,
    phase_began: Tick,
    /// How many of each kind had ended before.
    before: [(u64, u64); Kind::ALL.len()],
    /// How many had ended, and how many had not, when the draining was over.
    after: Option<[(u64, u64); Kind::ALL.len()]>,
}

impl Descent {
    fn begin(shutdown: Shutdown) -> Self {
        let Shutdown {
            drain,
            clock,
            hooks,
        } = shutdown;
        let began = clock.now();
        telemetry::turned(Phase::Serving, Phase::Unready);
        drain.enter(Phase::Unready);
        Self {
            settings: drain.settings(),
            before: drain.tallies(),
            after: None,
            drain,
            clock,
            hooks_left: hooks.len() as u64,
            hooks: hooks.into_iter(),
            hooks_failed: 0,
            began,
            phase_began: began,
        }
    }

    async fn in_order(&mut self) {
        let Self {
            drain,
            clock,
            settings,
            ..
        } = self;
        let (drain, clock, settings) = (drain.clone(), clock.clone(), settings.clone());
        clock.sleep_until(clock.now() + settings.delay).await;

        self.enter(Phase::Draining);
        let empty = clock.within(settings.drain, drain.empty()).await;
        self.drained();
        if empty.is_err() {
            self.enter(Phase::Cancelling);
            if clock.within(settings.cancel, drain.empty()).await.is_err() {
                self.enter(Phase::Aborting);
                // What blocks its thread does not notice, and is not waited for.
                let _ = clock.within(ABORT, drain.empty()).await;
            }
        }

        self.enter(Phase::Closing);
        for hook in self.hooks.by_ref() {
            let done = hook.run(&clock).await;
            self.hooks_left -= 1;
            telemetry::hooks(done.as_str(), 1);
            self.hooks_failed += u64::from(done != Done::Finished);
        }
    }

    fn enter(&mut self, phase: Phase) {
        let now = self.clock.now();
        let took = now.saturating_duration_since(self.phase_began);
        telemetry::took(self.drain.phase(), took);
        telemetry::turned(self.drain.phase(), phase);
        tracing::debug!(phase = phase.as_str(), "the shutdown goes on");
        self.phase_began = now;
        self.drain.enter(phase);
    }

    /// The draining is over: who is still there is cut. Counted before hooks send metrics away.
    fn drained(&mut self) {
        let after = self.drain.tallies();
        for (kind, (ended, held)) in Kind::ALL.into_iter().zip(after) {
            telemetry::ended(kind, ended - self.before[kind as usize].0, held);
        }
        self.after = Some(after);
    }

    fn end(mut self, forced: bool) -> Summary {
        if forced {
            if self.after.is_none() {
                self.drained();
            }
            telemetry::hooks("unfinished", self.hooks_left);
            self.hooks_failed += self.hooks_left;
        }
        self.enter(Phase::Ended);
        let after = self.after.unwrap_or(self.before);
        let cut = after.map(|(_, held)| held);
        let summary = Summary {
            ended: match cut.iter().sum::<u64>() {
                _ if forced => Ended::Forced,
                0 => Ended::Empty,
                _ => Ended::Cut,
            },
            took: self.clock.now().saturating_duration_since(self.began),
            drained: Kind::ALL.map(|kind| after[kind as usize].0 - self.before[kind as usize].0),
            cut,
            hooks_failed: self.hooks_failed,
        };
        tracing::info!(
            took = ?summary.took,
            ended = summary.ended.as_str(),
            drained = summary.drained_in_all(),
            cut = summary.cut_in_all(),
            requests = summary.drained(Kind::Request),
            requests_cut = summary.cut(Kind::Request),
            sockets = summary.drained(Kind::Socket),
            sockets_cut = summary.cut(Kind::Socket),
            hooks_failed = summary.hooks_failed,
            "shut down"
        );
        summary
    }
}
