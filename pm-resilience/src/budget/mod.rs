//! How many retries there may be: a share of the calls, and a few more each second.
//!
//! When everything fails, retries multiply the load on what is failing already. A [`Budget`] bounds
//! that, however many tasks retry and however many attempts each may make: every call deposits a
//! part of a retry, and every retry withdraws a whole one.
//!
//! ```
//! use pm_core::Clock;
//! use pm_resilience::Budget;
//!
//! let budget = Budget::percent(20).with_floor_per_second(1).with_clock(Clock::manual().0);
//! for _ in 0..10 {
//!     budget.deposit();
//! }
//! let retries = (0..100).filter(|_| budget.try_withdraw()).count();
//! assert_eq!(retries, 2 + 1, "a fifth of ten calls, and one for this second");
//! ```
//!
//! What is withdrawn was deposited: deposits and withdrawals are single atomic steps on one word, so
//! that no interleaving gives away more.

mod handle;
#[cfg(all(test, pm_loom))]
mod loom_tests;
mod settings;
mod word;

pub use self::handle::Budget;
pub use self::settings::BudgetSettings;
