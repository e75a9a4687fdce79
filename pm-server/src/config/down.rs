use std::time::Duration;

use clap::Args;
use pm_core::{duration, reload::InvalidSetting};
use pm_resilience::shutdown::ShutdownSettings;

use super::{ENV_DRAIN_DELAY, ENV_SHUTDOWN_BUDGET};

/// Within which time clients come back to a server that went down: long enough that a thousand do
/// not come at once, short enough that a person does not notice.
const COME_BACK_WITHIN: Duration = Duration::from_secs(5);

/// How a server goes down.
#[derive(Clone, Debug, Args)]
pub struct Down {
    /// How long to go on serving after a signal to stop, for load balancers to notice
    #[arg(long, env = ENV_DRAIN_DELAY, value_name = "TIME", default_value = "1s",
          value_parser = duration::parse)]
    drain_delay: Duration,

    /// How long going down may take in all, from the signal on: less than whoever sends it waits
    /// before it kills
    #[arg(long, env = ENV_SHUTDOWN_BUDGET, value_name = "TIME", default_value = "30s",
          value_parser = duration::parse)]
    shutdown_budget: Duration,
}

impl Down {
    /// What is left of the budget after the delay is for clients to finish, but for a tenth of it to
    /// cut off who did not, and a sixth to close the tenants.
    ///
    /// # Errors
    ///
    /// Nothing is left.
    pub fn settings(&self) -> Result<ShutdownSettings, InvalidSetting> {
        let Self {
            drain_delay: delay,
            shutdown_budget: budget,
        } = *self;
        let settings = ShutdownSettings::new()
            .with_budget(budget)
            .with_delay(delay)
            .with_drain(Duration::ZERO)
            .with_cancel(budget / 10)
            .with_close(budget / 6)
            .with_come_back_within(COME_BACK_WITHIN);
        let drain = budget.saturating_sub(settings.longest());
        if drain.is_zero() {
            let reason =
                format!("{delay:?} leaves clients no time of the {budget:?} that there are");
            return Err(InvalidSetting::new("--drain-delay", reason));
        }
        Ok(settings.with_drain(drain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(delay: u64, budget: u64) -> Result<ShutdownSettings, InvalidSetting> {
        let down = Down {
            drain_delay: Duration::from_secs(delay),
            shutdown_budget: Duration::from_secs(budget),
        };
        down.settings()
    }

    #[test]
    fn the_budget_is_used_up_and_not_exceeded() {
        for (delay, budget) in [(0, 1), (1, 30), (5, 30), (20, 30), (3600, 7200)] {
            let settings = settings(delay, budget).unwrap();
            assert_eq!(settings.longest(), settings.budget);
            assert_eq!(settings.delay, Duration::from_secs(delay));
            assert!(!settings.drain.is_zero());
        }
    }

    #[test]
    fn a_delay_that_leaves_nothing_is_named() {
        for (delay, budget) in [(30, 30), (3600, 30), (0, 0), (25, 30)] {
            let refused = settings(delay, budget).unwrap_err();
            assert_eq!(refused.field(), "--drain-delay");
        }
    }
}
