use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::Cidr;
use pm_core::redis::{Command, Error as RedisError, Redis, Reply, Script};

use crate::Error;
use crate::block::{BlockStore, Cause, Changes, Effect, Entry, PAGE, Position};
use crate::violations::{KEPT, Threshold, Violation, ViolationStore};

/// How long a call may take: no request waits for one.
const DEADLINE: Duration = Duration::from_millis(250);

/// Separates the fields of a row; the last one may have it in it.
const SEPARATOR: char = '\u{1f}';

/// Violations and blocks in a Redis or Valkey (6.2 or later), or in a cluster, shared by all
/// instances.
///
/// Each call is one script, and so one round trip; it is never sent twice. All keys have one hash tag,
/// and so are on one server of a cluster. Of each address the latest 100 violations are kept. Blocks
/// are as durable as the server; where it loses them, each instance keeps what it knows.
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
            impose: Script::new(include_str!("impose.lua")),
            changes: Script::new(include_str!("changes.lua")),
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

    fn log(&self, prefix: Cidr) -> String {
        format!("{}seen:{prefix}", self.prefix)
    }

    fn moments(&self, prefix: Cidr) -> String {
        format!("{}watched:{prefix}", self.prefix)
    }
}

#[async_trait]
impl ViolationStore for RedisStore {
    async fn record(
        self: Arc<Self>,
        rows: Vec<Violation>,
        alert: Threshold,
        _: i64,
    ) -> Result<Vec<Cidr>, Error> {
        let mut by_prefix = BTreeMap::<Cidr, Vec<&Violation>>::new();
        for row in &rows {
            by_prefix.entry(row.prefix()).or_default().push(row);
        }
        let keys = by_prefix
            .keys()
            .flat_map(|prefix| [self.log(*prefix), self.moments(*prefix)]);
        let mut call = (self.record.on(keys))
            .arg(alert.count())
            .arg(alert.micros())
            .arg(KEPT.as_millis() as u64);
        for rows in by_prefix.values() {
            call = call.arg(rows.len());
            for row in rows {
                call = call.arg(row.at_micros()).arg(written(row));
            }
        }
        let passed = async { self.redis.run(&call).await?.list() };
        let passed = passed.await.map_err(failed)?.into_iter().map(|number| {
            let number = usize::try_from(number.integer()?).unwrap_or(0);
            let prefix = number
                .checked_sub(1)
                .and_then(|at| by_prefix.keys().nth(at));
            prefix.copied().ok_or(RedisError::Unexpected)
        });
        passed.collect::<Result<_, _>>().map_err(failed)
    }

    async fn recent(
        self: Arc<Self>,
        prefix: Cidr,
        limit: usize,
        now_micros: i64,
    ) -> Result<Vec<Violation>, Error> {
        let command = Command::new("LRANGE").arg(self.log(prefix)).arg(0).arg(-1);
        let rows = async { self.redis.call(&command).await?.list() };
        let rows = rows.await.map_err(failed)?.into_iter().map(read);
        let rows: Result<Vec<Violation>, _> = rows.collect();
        let mut rows = rows.map_err(failed)?;
        let since = now_micros.saturating_sub(KEPT.as_micros() as i64);
        rows.retain(|row| row.at_micros() > since);
        rows.sort_by_key(|row| std::cmp::Reverse(row.at_micros()));
        rows.truncate(limit);
        Ok(rows)
    }
}

#[async_trait]
impl BlockStore for RedisStore {
    async fn impose(
        self: Arc<Self>,
        entries: Vec<Entry>,
        now_micros: i64,
    ) -> Result<Vec<Entry>, Error> {
        let keys = ["state", "entries", "versions", "forgotten"].map(|name| self.key(name));
        let mut call = self.impose.on(keys).arg(now_micros).arg(new_epoch());
        for entry in &entries {
            call = call
                .arg(entry.prefix.to_string())
                .arg(entry.effect.as_str())
                .arg(entry.cause.as_str())
                .arg(&*entry.reason)
                .arg(&*entry.actor)
                .arg(entry.since_micros)
                .arg(
                    entry
                        .until_micros
                        .map_or(String::new(), |until| until.to_string()),
                )
                .arg(entry.level)
                .arg(entry.forgotten_micros);
        }
        let stand = async { self.redis.run(&call).await?.list() };
        let stand = stand.await.map_err(failed)?.into_iter().map(entry);
        stand.collect::<Result<_, _>>().map_err(failed)
    }

    async fn changes(self: Arc<Self>, since: Position, _: i64) -> Result<Changes, Error> {
        let keys = ["state", "entries", "versions"].map(|name| self.key(name));
        let call = (self.changes.on(keys))
            .arg(since.epoch)
            .arg(since.version)
            .arg(new_epoch())
            .arg(PAGE);
        let told = async {
            let mut told = self.redis.run(&call).await?.list()?.into_iter();
            let epoch = number(told.next().unwrap_or(Reply::Nil))?;
            let entries = told.next().unwrap_or(Reply::Nil).list()?.into_iter();
            let entries: Vec<Entry> = entries.map(entry).collect::<Result<_, _>>()?;
            let known = if epoch == since.epoch {
                since.version
            } else {
                0
            };
            let version = entries.last().map_or(known, |last| last.version);
            Ok(Changes {
                position: Position { epoch, version },
                entries,
            })
        };
        told.await.map_err(failed)
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
        error => Error::unavailable(error),
    }
}

fn new_epoch() -> u64 {
    RandomState::new().hash_one(()) | 1
}

fn written(row: &Violation) -> String {
    let id = row.request_id().map_or("", |id| id.as_str());
    let (at, addr, endpoint) = (row.at_micros(), row.addr(), row.endpoint());
    format!("{at}{SEPARATOR}{addr}{SEPARATOR}{id}{SEPARATOR}{endpoint}")
}

fn read(row: Reply) -> Result<Violation, RedisError> {
    let row = text(row)?;
    let mut fields = row.splitn(4, SEPARATOR);
    let mut next = || fields.next().ok_or(RedisError::Unexpected);
    let at = next()?.parse().map_err(|_| RedisError::Unexpected)?;
    let addr: std::net::IpAddr = next()?.parse().map_err(|_| RedisError::Unexpected)?;
    let id = next()?.parse().ok();
    Ok(Violation::new(addr, at, next()?).with_request_id(id))
}

fn entry(reply: Reply) -> Result<Entry, RedisError> {
    let mut fields = reply.list()?.into_iter();
    let mut next = || text(fields.next().unwrap_or(Reply::Nil));
    let micros = |text: String| text.parse::<i64>().map_err(|_| RedisError::Unexpected);
    let prefix = next()?.parse().map_err(|_| RedisError::Unexpected)?;
    let effect = Effect::named(&next()?).ok_or(RedisError::Unexpected)?;
    let cause = Cause::named(&next()?).ok_or(RedisError::Unexpected)?;
    let (reason, actor) = (next()?.into(), next()?.into());
    let since_micros = micros(next()?)?;
    let until_micros = match next()? {
        until if until.is_empty() => None,
        until => Some(micros(until)?),
    };
    let level = next()?.parse().map_err(|_| RedisError::Unexpected)?;
    let forgotten_micros = micros(next()?)?;
    let version = next()?.parse().map_err(|_| RedisError::Unexpected)?;
    Ok(Entry {
        prefix,
        effect,
        cause,
        reason,
        actor,
        since_micros,
        until_micros,
        level,
        forgotten_micros,
        version,
    })
}

fn text(reply: Reply) -> Result<String, RedisError> {
    String::from_utf8(reply.bytes()?).map_err(|_| RedisError::Unexpected)
}

fn number(reply: Reply) -> Result<u64, RedisError> {
    text(reply)?.parse().map_err(|_| RedisError::Unexpected)
}
