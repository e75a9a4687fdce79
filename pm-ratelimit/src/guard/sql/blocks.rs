//! Blocks in a table.

/// [`BlockStore`](crate::BlockStore) for one kind of database.
macro_rules! blocks {
    ($database:ident, $store:ident) => {
        mod blocks {
            use std::collections::BTreeMap;
            use std::collections::btree_map;
            use std::sync::Arc;

            use async_trait::async_trait;
            use pm_core::Cidr;
            use sqlx::{Database, Error as SqlError, Row as _};

            use crate::Error;
            use crate::block::{BlockStore, Cause, Changes, Effect, Entry, PAGE, Position};
            use crate::guard::sql;

            type Connection = <sqlx::$database as Database>::Connection;
            type Row = <sqlx::$database as Database>::Row;

            #[async_trait]
            impl BlockStore for super::$store {
                async fn impose(
                    self: Arc<Self>,
                    entries: Vec<Entry>,
                    now_micros: i64,
                ) -> Result<Vec<Entry>, Error> {
                    self.within_deadline(async {
                        let mut transaction = self.begin().await?;
                        let stand = impose(&mut transaction, entries, now_micros).await?;
                        transaction.commit().await?;
                        Ok(stand)
                    })
                    .await
                }

                async fn changes(self: Arc<Self>, since: Position, _: i64) -> Result<Changes, Error> {
                    self.within_deadline(async {
                        let mut connection = self.pool.acquire().await?;
                        changes(&mut connection, since).await
                    })
                    .await
                }
            }

            async fn impose(
                connection: &mut Connection,
                entries: Vec<Entry>,
                now: i64,
            ) -> Result<Vec<Entry>, SqlError> {
                sqlx::query("DELETE FROM pm_guard_block WHERE forgotten_us <= $1")
                    .bind(now)
                    .execute(&mut *connection)
                    .await?;
                if entries.is_empty() {
                    return Ok(Vec::new());
                }
                let mut query = sqlx::QueryBuilder::<sqlx::$database>::new(
                    "SELECT * FROM pm_guard_block WHERE prefix IN (",
                );
                let mut list = query.separated(", ");
                for entry in &entries {
                    list.push_bind(entry.prefix.to_string());
                }
                query.push(")");
                let rows = query.build().fetch_all(&mut *connection).await?;
                let known: Result<Vec<Entry>, _> = rows.iter().map(entry).collect();
                let mut known: BTreeMap<Cidr, Entry> = known?
                    .into_iter()
                    .map(|entry| (entry.prefix, entry))
                    .collect();
                let state = sqlx::query("SELECT version FROM pm_guard_state");
                let before: i64 = state.fetch_one(&mut *connection).await?.try_get(0)?;
                let mut version = before.cast_unsigned();
                let mut stand = Vec::new();
                for mut entry in entries {
                    let place = known.entry(entry.prefix);
                    if let btree_map::Entry::Occupied(known) = &place
                        && !known.get().yields_to(&entry, now)
                    {
                        stand.push(known.get().clone());
                        continue;
                    }
                    version += 1;
                    entry.version = version;
                    place.insert_entry(entry.clone());
                    stand.push(entry);
                }
                if version > before.cast_unsigned() {
                    let new: Vec<&Entry> = (known.values())
                        .filter(|entry| entry.version > before.cast_unsigned())
                        .collect();
                    write_entries(connection, &new, version).await?;
                }
                Ok(stand)
            }

            async fn write_entries(
                connection: &mut Connection,
                entries: &[&Entry],
                version: u64,
            ) -> Result<(), SqlError> {
                let mut insert = sqlx::QueryBuilder::<sqlx::$database>::new(
                    "INSERT INTO pm_guard_block (prefix, effect, cause, reason, actor, since_us, \
                     until_us, level, forgotten_us, version) ",
                );
                insert.push_values(entries, |mut values, entry| {
                    values
                        .push_bind(entry.prefix.to_string())
                        .push_bind(entry.effect.as_str())
                        .push_bind(entry.cause.as_str())
                        .push_bind(super::text(&entry.reason))
                        .push_bind(super::text(&entry.actor))
                        .push_bind(entry.since_micros)
                        .push_bind(entry.until_micros)
                        .push_bind(i64::from(entry.level))
                        .push_bind(entry.forgotten_micros)
                        .push_bind(entry.version.cast_signed());
                });
                insert.push(
                    " ON CONFLICT (prefix) DO UPDATE SET effect = excluded.effect, \
                     cause = excluded.cause, reason = excluded.reason, actor = excluded.actor, \
                     since_us = excluded.since_us, until_us = excluded.until_us, \
                     level = excluded.level, forgotten_us = excluded.forgotten_us, \
                     version = excluded.version",
                );
                insert.build().execute(&mut *connection).await?;
                sqlx::query("UPDATE pm_guard_state SET version = $1")
                    .bind(version.cast_signed())
                    .execute(connection)
                    .await?;
                Ok(())
            }

            async fn changes(
                connection: &mut Connection,
                since: Position,
            ) -> Result<Changes, SqlError> {
                let state = sqlx::query("SELECT epoch, version FROM pm_guard_state");
                let state = state.fetch_one(&mut *connection).await?;
                let state = Position {
                    epoch: state.try_get::<i64, _>("epoch")?.cast_unsigned(),
                    version: state.try_get::<i64, _>("version")?.cast_unsigned(),
                };
                let known = since.known_of(state).unwrap_or(0);
                let rows = sqlx::query(
                    "SELECT * FROM pm_guard_block WHERE version > $1 ORDER BY version LIMIT $2",
                )
                .bind(known.cast_signed())
                .bind(PAGE as i64)
                .fetch_all(connection)
                .await?;
                let entries: Result<Vec<Entry>, _> = rows.iter().map(entry).collect();
                let entries = entries?;
                let version = entries.last().map_or(known, |last| last.version);
                Ok(Changes {
                    position: Position { version, ..state },
                    entries,
                })
            }

            fn entry(row: &Row) -> Result<Entry, SqlError> {
                let effect = Effect::named(row.try_get("effect")?);
                let cause = Cause::named(row.try_get("cause")?);
                let level: i64 = row.try_get("level")?;
                let version: i64 = row.try_get("version")?;
                Ok(Entry {
                    prefix: sql::prefix(row.try_get("prefix")?)?,
                    effect: effect.ok_or_else(|| sql::unreadable("an effect"))?,
                    cause: cause.ok_or_else(|| sql::unreadable("a cause"))?,
                    reason: row.try_get::<&str, _>("reason")?.into(),
                    actor: row.try_get::<&str, _>("actor")?.into(),
                    since_micros: row.try_get("since_us")?,
                    until_micros: row.try_get("until_us")?,
                    level: u32::try_from(level).unwrap_or(u32::MAX),
                    forgotten_micros: row.try_get("forgotten_us")?,
                    version: version.cast_unsigned(),
                })
            }
        }
    };
}

pub(in crate::guard) use blocks;
