use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use pm_core::Cidr;
use pm_core::redis::{Command, Error as RedisError, Reply};

use super::{RedisStore, SEPARATOR, failed, text};
use crate::Error;
use crate::violations::{KEPT, Threshold, Violation, ViolationStore};

impl RedisStore {
    fn log(&self, prefix: Cidr) -> String {
        self.key(&format!("seen:{prefix}"))
    }

    fn moments(&self, prefix: Cidr) -> String {
        self.key(&format!("watched:{prefix}"))
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
