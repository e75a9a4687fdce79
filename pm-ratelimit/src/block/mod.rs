//! Who is kept out: lists of prefixes, by hand or for violations, on every instance and every open
//! socket.

mod auto;
mod bits;
mod blocked;
mod builder;
mod entry;
mod family;
mod filter;
mod future;
mod layer;
mod list;
mod prefixes;
mod search;
mod service;
mod shard;
mod slot;
mod store;
mod table;
mod waiting;

pub use self::auto::AutoBlock;
pub use self::blocked::{Blocked, UntilBlocked};
pub use self::builder::BlockListBuilder;
pub(crate) use self::entry::after;
pub use self::entry::{Cause, Effect, Entry, Order};
pub use self::future::ResponseFuture;
pub use self::layer::BlockLayer;
pub use self::list::{BlockList, Listed};
pub use self::service::Block;
pub use self::store::{BlockStore, Changes, PAGE};
pub use crate::guard::Position;
