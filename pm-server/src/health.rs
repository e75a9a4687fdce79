//! What this server cannot do without, and what it can.

use pm_core::Clock;
use pm_resilience::{
    health::{Check, Health},
    shutdown::Drain,
};

use crate::tenant::Registry;

/// The health of a server: nothing is asked until it is [run](Health::run).
pub(crate) fn of(registry: &Registry, drain: &Drain, clock: &Clock) -> Health {
    Health::builder()
        .check(database(registry.clone()))
        .drain(drain.clone())
        .clock(clock.clone())
        .build()
        .expect("each name is valid and there once, and no time is zero")
}

/// Critical: without it nothing can be read or changed. One tenant that is damaged is not the
/// database; the others are served.
fn database(registry: Registry) -> Check {
    Check::critical("database", move || {
        let registry = registry.clone();
        async move { registry.probe().await }
    })
}
