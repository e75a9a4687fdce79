use std::future::Future;
use std::time::Duration;

use super::switch::FIRST_DOWN;
use super::{State, Switch};
use crate::Clock;

impl Switch {
    /// Probes the primary whenever it is down, and throws the switch once a probe passes. Never
    /// ends: for a task of its own.
    ///
    /// The first probe comes `pause` after the switch fell, and the next `pause` after one that
    /// did not pass; a switch that was [made down](Self::down) is probed at once. A probe has to
    /// end by itself. Dropping the future leaves the switch as it is.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn keep_probing<F>(
        &self,
        clock: &Clock,
        pause: Duration,
        mut probe: impl FnMut() -> F,
    ) where
        F: Future<Output = bool>,
    {
        let mut at_once = self.generation() == FIRST_DOWN;
        let mut changes = self.changes();
        loop {
            changes.until(State::Down).await;
            while let Some(attempt) = self.probe() {
                if !std::mem::take(&mut at_once) {
                    clock.sleep_until(clock.now() + pause).await;
                }
                if probe().await {
                    attempt.passed();
                }
            }
        }
    }
}
