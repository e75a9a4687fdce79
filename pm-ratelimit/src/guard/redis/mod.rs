mod blocks;
mod emergency;
mod rules;
mod texts;
mod violations;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use pm_core::redis::{Error as RedisError, Redis, Reply, Script};

use self::rules::RuleScripts;
use crate::Error;
use crate::guard::Unreadable;

/// How long a call may take: no request waits for one.
const DEADLINE: Duration = Duration::from_millis(250);

const IMPOSE: &str = concat!(include_str!("version.lua"), include_str!("impose.lua"));

/// Separates the fields of a row; only the last one may have it in it.
const SEPARATOR: char = '\u{1f}';

/// Violations, blocks, rules and emergencies in a Redis or Valkey (6.2 or later), or in a cluster, shared
/// by all instances.
///
/// Each call is one script, and so one round trip; it is never sent twice. All keys have one hash tag,
/// and so are on one server of a cluster. Of each address the latest 100 violations are kept. Blocks,
/// rules, quotas of users and emergencies are as durable as the server; where it loses them, each instance
/// keeps the blocks that it knows, and gives back the rules and the last word about emergencies.
///
/// A full flush, of 1,000 violations of as many addresses, occupies the server for some milliseconds,
/// at most once a second for each instance: where the same server decides on requests in a flood, that
/// is seen in their slowest answers.
pub struct RedisStore {
    redis: Redis,
    prefix: Box<str>,
    record: Script,
    impose: Script,
    changes: Script,
    rules: RuleScripts,
    exchange: Script,
}

impl RedisStore {
    /// In this Redis, under keys that begin with `pm:{guard}:`. Calls have a deadline of 250 ms,
    /// whatever that of the handle is.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self {
            redis: redis.with_deadline(DEADLINE),
            prefix: "pm:{guard}:".into(),
            record: Script::new(include_str!("record.lua")),
            impose: Script::new(IMPOSE),
            changes: Script::new(include_str!("changes.lua")),
            rules: RuleScripts::new(),
            exchange: Script::new(include_str!("exchange.lua")),
        }
    }

    /// The same store under keys that begin with this name in braces, which is their hash tag. Stores
    /// with different names share nothing.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.prefix = format!("{{{name}}}:").into();
        self
    }

    /// The same store with another deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.redis = self.redis.with_deadline(deadline);
        self
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("redis", &self.redis)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

fn failed(error: RedisError) -> Error {
    match error {
        RedisError::TimedOut => Error::TimedOut,
        RedisError::Unexpected => Error::unavailable(Unreadable("an answer")),
        error => Error::unavailable(error),
    }
}

fn new_epoch() -> u64 {
    RandomState::new().hash_one(()) | 1
}

fn text(reply: Reply) -> Result<String, RedisError> {
    String::from_utf8(reply.bytes()?).map_err(|_| RedisError::Unexpected)
}

fn number(reply: Reply) -> Result<u64, RedisError> {
    text(reply)?.parse().map_err(|_| RedisError::Unexpected)
}

/// The answers in a list of so many.
fn fields<const N: usize>(reply: Reply) -> Result<[Reply; N], RedisError> {
    reply.list()?.try_into().map_err(|_| RedisError::Unexpected)
}
