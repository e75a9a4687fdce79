#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "admin")]
pub mod admin;
pub mod algorithm;
pub mod block;
pub mod caller;
pub mod emergency;
pub mod future;
pub mod guard;
pub mod headers;
pub mod in_flight;
pub mod rule_book;
pub mod store;
pub mod telemetry;
pub mod user_quotas;
pub mod violations;

mod axum;
mod builder;
mod charge;
mod client_prefix;
mod complaints;
mod decision;
mod error;
mod explanation;
mod key;
mod layer;
mod limiter;
mod observer;
mod on_failure;
mod op;
mod policy_name;
mod quota;
mod refusal;
mod rules;
mod ruling;
mod service;
mod subject;
mod sync;
mod tally;
mod verdict;

pub use self::block::{AutoBlock, BlockLayer, BlockList, BlockStore};
pub use self::builder::LimiterBuilder;
pub use self::charge::{BucketId, Charge, Charges, Mode, TooManyCharges};
pub use self::decision::{Decision, Outcome};
pub use self::emergency::{Emergency, EmergencyStore};
pub use self::error::Error;
pub use self::explanation::{Because, Explained, Explanation};
pub use self::key::DigestKey;
pub use self::layer::RateLimitLayer;
pub use self::limiter::Limiter;
pub use self::observer::{Incident, RefusalObserver};
pub use self::on_failure::OnFailure;
pub use self::op::Op;
pub use self::policy_name::{InvalidPolicyName, PolicyName};
pub use self::quota::{InvalidQuota, Quota};
pub use self::refusal::{Reason, Refusal};
pub use self::rule_book::{RuleBook, RuleStore};
pub use self::rules::{
    By, InvalidBy, InvalidMultiplier, InvalidRules, MalformedPath, Multiplier, Rule, Rules,
    STANDARD_ROLES, Stage,
};
pub use self::service::RateLimit;
pub use self::store::{Fallback, LocalStore, MemoryStore, RateLimitStore, Refusals};
#[cfg(feature = "redis")]
pub use self::store::{Leases, RedisStore};
pub use self::subject::{Subject, User};
pub use self::tally::RuleDecisions;
pub use self::telemetry::Stats;
pub use self::user_quotas::{CachedUserQuotas, Lookup, MemoryUserQuotas, UserQuotas};
pub use self::verdict::{Allowed, Never, Refused, Verdict};
pub use self::violations::{Alert, Violation, ViolationStore, Violations};
