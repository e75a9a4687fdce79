//! Settings that change while the program runs.
//!
//! A [`Setting`] holds one value that has been checked as a whole. Whoever uses it takes
//! [`Setting::current`] and keeps that for as long as one piece of work lasts; whoever changes it
//! offers a whole new value, which is checked and then takes the place of the old one. A value that
//! is refused changes nothing, and says which field is wrong.
//!
//! ```
//! use pm_core::reload::{InvalidSetting, Redacted, Setting};
//!
//! #[derive(Debug)]
//! struct Mail {
//!     retries: u32,
//!     password: Redacted<String>,
//! }
//!
//! let mail = |retries| Mail { retries, password: Redacted("hunter2".to_owned()) };
//! let setting = Setting::new("mail", mail(3), |mail: &Mail| match mail.retries {
//!     0..=10 => Ok(()),
//!     _ => Err(InvalidSetting::new("retries", "at most 10")),
//! })?;
//!
//! assert_eq!(setting.try_replace(mail(5))?, 2);
//! let refused = setting.try_replace(mail(11)).unwrap_err();
//! assert_eq!(refused.to_string(), "`retries` is not valid: at most 10");
//! assert_eq!((setting.version(), setting.current().retries), (2, 5));
//! # Ok::<(), InvalidSetting>(())
//! ```
//!
//! Where new values come from is up to the caller, who passes them on as a stream:
//! [`Setting::follow_stream`]. Each replacement is logged, with what has changed in the `Debug`
//! output of the value. That is why a value's `Debug` must not show secrets; wrapping them in
//! [`Redacted`] is enough.

mod diff;
mod follower;
mod invalid;
mod redacted;
mod setting;

pub use self::follower::Follower;
pub use self::invalid::InvalidSetting;
pub use self::redacted::Redacted;
pub use self::setting::Setting;
