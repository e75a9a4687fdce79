#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod algorithm;
pub mod future;
pub mod headers;
pub mod store;

mod charge;
mod decision;
mod error;
mod key;
mod layer;
mod limiter;
mod policy_name;
mod quota;
mod refusal;
mod service;
mod subject;
mod sync;
mod verdict;

pub use self::charge::{BucketId, Charge, Charges, Mode, TooManyCharges};
pub use self::decision::{Decision, Outcome};
pub use self::error::Error;
pub use self::layer::RateLimitLayer;
pub use self::limiter::{Limiter, OnFailure};
pub use self::policy_name::{InvalidPolicyName, PolicyName};
pub use self::quota::{InvalidQuota, Quota};
pub use self::refusal::{Reason, Refusal};
pub use self::service::RateLimit;
pub use self::store::{MemoryStore, RateLimitStore};
pub use self::subject::Subject;
pub use self::verdict::{Allowed, Never, Refused, Verdict};
