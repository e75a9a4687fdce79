use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use pin_project_lite::pin_project;
use pm_core::Clock;
use pm_core::clock::Sleep;
use pm_core::reload::InvalidSetting;

use super::race::Race;
use super::{HedgeLayer, HedgeSettings};
use crate::telemetry::HedgeMetrics;
use crate::{Budget, Classify, Retry};

/// Second attempts; see the [module documentation](super).
///
/// A handle: clones are the same settings and the same budget.
#[derive(Clone)]
pub struct Hedge(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    settings: ArcSwap<HedgeSettings>,
    budget: Budget,
    /// Whether a call that begins here deposits: not if somebody further out has done so.
    deposits: bool,
    clock: Clock,
    metrics: HedgeMetrics,
}

impl Hedge {
    /// Second attempts that draw on `budget`, where each call deposits its share.
    ///
    /// If calls come out of a [`Retry`], use [`beneath`](Self::beneath): on one budget, they would
    /// deposit twice.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it.
    pub fn new(
        name: impl Into<Arc<str>>,
        settings: HedgeSettings,
        budget: Budget,
    ) -> Result<Self, InvalidSetting> {
        settings.check()?;
        let (name, clock) = (name.into(), Clock::system());
        Ok(Self::build(name, settings, budget, true, clock))
    }

    /// Second attempts of calls that `retry` makes. They draw on its budget and deposit nothing: a
    /// call has done so when it began, and its retries are no further calls.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it.
    pub fn beneath(
        retry: &Retry,
        name: impl Into<Arc<str>>,
        settings: HedgeSettings,
    ) -> Result<Self, InvalidSetting> {
        settings.check()?;
        let (name, clock) = (name.into(), retry.clock().clone());
        let budget = retry.budget().clone();
        Ok(Self::build(name, settings, budget, false, clock))
    }

    /// The same settings and the same budget in a handle of its own, by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let Shared {
            name,
            budget,
            deposits,
            ..
        } = &*self.0;
        let settings = self.settings();
        Self::build(Arc::clone(name), settings, budget.clone(), *deposits, clock)
    }

    fn build(
        name: Arc<str>,
        settings: HedgeSettings,
        budget: Budget,
        deposits: bool,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Shared {
            metrics: HedgeMetrics::new(&name),
            name,
            settings: ArcSwap::from_pointee(settings),
            budget,
            deposits,
            clock,
        }))
    }

    /// What second attempts draw on.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// Makes a call with `make`, and a second one beside it if the first takes too long and the
    /// budget allows it. Use it for what may be made twice, and for nothing else.
    ///
    /// Nothing happens before it is polled; dropping it drops both. A call that is ready at once
    /// makes no timer and reads no clock.
    pub fn run<M, F, C, T, E>(&self, classify: C, make: M) -> Run<M, F, C>
    where
        M: FnMut() -> F,
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        Run {
            hedge: self.clone(),
            classify,
            make,
            race: Race::new(),
        }
    }

    /// The layer that hedges reads; `class_of` says what is one.
    pub fn layer<K, C>(&self, class_of: K, classify: C) -> HedgeLayer<K, C> {
        HedgeLayer::new(self.clone(), class_of, classify)
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> HedgeSettings {
        **self.0.settings.load()
    }

    /// Changes the settings, for calls that wait from now on. The budget stays.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it, and nothing has changed.
    pub fn reload(&self, settings: HedgeSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        self.0.settings.store(Arc::new(settings));
        Ok(())
    }

    pub(super) fn begin(&self) {
        if self.0.deposits {
            self.0.budget.deposit();
        }
    }

    pub(super) fn timer(&self) -> Sleep {
        let clock = &self.0.clock;
        clock.sleep_until(clock.now() + self.0.settings.load().after)
    }

    pub(super) fn may_begin(&self) -> bool {
        let begins = self.0.budget.try_withdraw();
        self.0.metrics.decided(begins);
        begins
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("name", &self.0.name)
            .field("settings", &self.0.settings.load())
            .field("budget", &self.0.budget)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// What [`Hedge::run`] returns: the result of the attempt that was first.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<M, F, C> {
        hedge: Hedge,
        classify: C,
        make: M,
        #[pin]
        race: Race<F>,
    }
}

impl<M, F, C, T, E> Future for Run<M, F, C>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.race.poll(cx, this.hedge, this.classify, this.make)
    }
}

impl<M, F, C> fmt::Debug for Run<M, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").finish_non_exhaustive()
    }
}
