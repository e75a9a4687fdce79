//! Rules and quotas of users that are kept in a store, and change on every instance within a second.

mod book;
mod bounds;
mod builder;
mod edit;
mod known;
mod quotas;
mod store;

pub use self::book::RuleBook;
pub use self::builder::RuleBookBuilder;
pub use self::edit::{Edit, EditError};
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) use self::store::QuotaPage;
pub use self::store::{
    Assigned, Changes, PAGE, QuotaChange, QuotaChanges, RULES, RuleStore, SavedRule, SavedRules,
    Told,
};
pub use crate::guard::Position;
