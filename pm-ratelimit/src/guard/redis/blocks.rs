use std::sync::Arc;

use async_trait::async_trait;
use pm_core::redis::{Error as RedisError, Reply};

use super::{RedisStore, failed, fields, new_epoch, number, text};
use crate::Error;
use crate::block::{BlockStore, Cause, Changes, Effect, Entry, PAGE, Position};

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
            let [epoch, known, entries] = fields(self.redis.run(&call).await?)?;
            let (epoch, known) = (number(epoch)?, number(known)?);
            let entries = entries.list()?.into_iter().map(entry);
            let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
            let version = entries.last().map_or(known, |last| last.version);
            Ok(Changes {
                position: Position { epoch, version },
                entries,
            })
        };
        told.await.map_err(failed)
    }
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
