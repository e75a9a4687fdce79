use std::sync::Arc;
use std::time::Duration;

use pm_core::Clock;

use super::{Alert, Threshold, ViolationStore, Violations};
use crate::guard;

/// [`Violations`] to be: where they are kept, and when they raise an alert.
#[must_use = "it does nothing until it is built"]
pub struct ViolationsBuilder {
    pub(super) store: Option<Arc<dyn ViolationStore>>,
    pub(super) clock: Clock,
    pub(super) alert: Threshold,
    pub(super) on_alert: Option<Box<OnAlert>>,
    pub(super) addresses: usize,
    pub(super) endpoints: usize,
    pub(super) offenders: usize,
}

pub(super) type OnAlert = dyn Fn(&Alert) + Send + Sync;

impl ViolationsBuilder {
    pub(super) fn new() -> Self {
        Self {
            store: None,
            clock: Clock::system(),
            alert: Threshold::more_than(10, Duration::from_secs(5 * 60)),
            on_alert: None,
            addresses: 16_384,
            endpoints: 512,
            offenders: 1_024,
        }
    }

    /// Where they are kept for an hour, and counted for all instances. Without it, in the memory of
    /// this process: the latest 100,000.
    pub fn store(mut self, store: Arc<dyn ViolationStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// When somebody raises an alert. Without it, with more than 10 violations in 5 minutes.
    pub const fn alert(mut self, threshold: Threshold) -> Self {
        self.alert = threshold;
        self
    }

    /// What is called with every alert, beside the line in the log. It is called on the way of the
    /// refused request: it must not block. An alert of the fleet is told by the task that flushes.
    pub fn on_alert(mut self, alert: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.on_alert = Some(Box::new(alert));
        self
    }

    /// How many addresses are watched for the alert at the same time. Without it 16,384, which takes
    /// up to 4 MB. Where there are more, those with the fewest violations give way: an alert may then
    /// come late, never early.
    pub const fn addresses(mut self, room: usize) -> Self {
        self.addresses = room;
        self
    }

    /// How many endpoints are counted one by one. Without it, 512. Where there are more, and none
    /// was quiet for an hour, the rest is counted as `other`.
    pub const fn endpoints(mut self, room: usize) -> Self {
        self.endpoints = room;
        self
    }

    /// How many addresses are counted for the list of those that are refused most often. Without it,
    /// 1,024: no count is then too high by more than a 1,024th of all refusals.
    pub const fn offenders(mut self, room: usize) -> Self {
        self.offenders = room;
        self
    }

    /// The clock. Without it, [`Clock::system`]. All instances of a fleet show the same time, as
    /// they do in logs: by as much as their clocks differ, the time of the threshold is longer.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Begins to watch.
    #[must_use]
    pub fn build(mut self) -> Violations {
        let store = self.store.take();
        let store = store.unwrap_or_else(|| Arc::new(guard::MemoryStore::new()));
        Violations::start(self, store)
    }
}

impl std::fmt::Debug for ViolationsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViolationsBuilder")
            .field("store", &self.store)
            .field("alert", &self.alert)
            .finish_non_exhaustive()
    }
}
