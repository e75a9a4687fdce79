//! What SQLite and PostgreSQL have in common: a backend only opens, locks and commits.

use pm_core::Cidr;
use sqlx::Error as SqlError;

use crate::Error;
use crate::violations::Ring;

/// The schema that this version of the crate reads and writes.
pub(super) const SCHEMA: i64 = 1;

pub(super) fn failed(error: SqlError) -> Error {
    match error {
        SqlError::PoolTimedOut => Error::TimedOut,
        error => Error::unavailable(error),
    }
}

/// The tables are of another version of this crate.
#[derive(Debug, thiserror::Error)]
#[error(
    "the tables pm_guard_* have schema {0}, not {SCHEMA}: use the version of pm-ratelimit that made them"
)]
pub(super) struct OtherSchema(pub(super) i64);

/// Something that another program has written.
pub(super) fn unreadable(what: &'static str) -> SqlError {
    SqlError::Decode(format!("{what} cannot be read").into())
}

/// The moments of a ring as text: whole numbers and commas.
pub(super) fn written(ring: &Ring) -> String {
    let times: Vec<String> = ring.times.iter().map(ToString::to_string).collect();
    times.join(",")
}

pub(super) fn read(times: &str, raised: bool) -> Result<Ring, SqlError> {
    let times = times.split(',').filter(|time| !time.is_empty());
    let times: Result<Vec<i64>, _> = times.map(str::parse).collect();
    let times = times.map_err(|_| unreadable("a list of moments"))?;
    Ok(Ring { times, raised })
}

pub(super) fn prefix(text: &str) -> Result<Cidr, SqlError> {
    text.parse().map_err(|_| unreadable("a prefix"))
}

/// A random number that fits the column.
pub(super) fn new_epoch() -> i64 {
    use std::hash::BuildHasher;

    let random = std::collections::hash_map::RandomState::new().hash_one(());
    (random >> 1 | 1).cast_signed()
}

/// The verbs, for one kind of database. They are called inside a transaction that lets one writer in
/// at a time.
macro_rules! verbs {
    ($database:ty) => {
        type Connection = <$database as sqlx::Database>::Connection;

        async fn add_violations(
            connection: &mut Connection,
            rows: &[Violation],
            alert: &Threshold,
            now: i64,
        ) -> Result<Vec<Cidr>, sqlx::Error> {
            sqlx::query("DELETE FROM pm_guard_violation WHERE at_us <= $1")
                .bind(now.saturating_sub(KEPT.as_micros() as i64))
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM pm_guard_watched WHERE latest_us <= $1")
                .bind(now.saturating_sub(alert.micros().saturating_mul(2)))
                .execute(&mut *connection)
                .await?;
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            let mut insert = sqlx::QueryBuilder::<$database>::new(
                "INSERT INTO pm_guard_violation (prefix, addr, at_us, endpoint, request_id) ",
            );
            insert.push_values(rows, |mut values, row| {
                values
                    .push_bind(row.prefix().to_string())
                    .push_bind(row.addr().to_string())
                    .push_bind(row.at_micros())
                    .push_bind(text(row.endpoint()))
                    .push_bind(row.request_id().map(|id| id.as_str().to_owned()));
            });
            insert.build().execute(&mut *connection).await?;
            let prefixes: BTreeSet<Cidr> = rows.iter().map(Violation::prefix).collect();
            let mut rings = rings(connection, &prefixes).await?;
            let mut passed = Vec::new();
            for row in rows {
                let ring = rings.entry(row.prefix()).or_default();
                if ring.note(row.at_micros(), alert) {
                    passed.push(row.prefix());
                }
            }
            let mut write = sqlx::QueryBuilder::<$database>::new(
                "INSERT INTO pm_guard_watched (prefix, times, raised, latest_us) ",
            );
            write.push_values(&rings, |mut values, (prefix, ring)| {
                values
                    .push_bind(prefix.to_string())
                    .push_bind(sql::written(ring))
                    .push_bind(ring.raised)
                    .push_bind(ring.latest());
            });
            write.push(
                " ON CONFLICT (prefix) DO UPDATE SET times = excluded.times, \
                 raised = excluded.raised, latest_us = excluded.latest_us",
            );
            write.build().execute(&mut *connection).await?;
            Ok(passed)
        }

        async fn rings(
            connection: &mut Connection,
            prefixes: &BTreeSet<Cidr>,
        ) -> Result<BTreeMap<Cidr, Ring>, sqlx::Error> {
            let mut query = sqlx::QueryBuilder::<$database>::new(
                "SELECT prefix, times, raised FROM pm_guard_watched WHERE prefix IN (",
            );
            let mut list = query.separated(", ");
            for prefix in prefixes {
                list.push_bind(prefix.to_string());
            }
            query.push(")");
            let rows = query.build().fetch_all(connection).await?;
            let ring = |row: &<$database as sqlx::Database>::Row| {
                let ring = sql::read(row.try_get("times")?, row.try_get("raised")?)?;
                Ok((sql::prefix(row.try_get("prefix")?)?, ring))
            };
            rows.iter().map(ring).collect()
        }

        async fn recent_violations(
            connection: &mut Connection,
            prefix: Cidr,
            limit: usize,
            now: i64,
        ) -> Result<Vec<Violation>, sqlx::Error> {
            let rows = sqlx::query(
                "SELECT addr, at_us, endpoint, request_id FROM pm_guard_violation \
                 WHERE prefix = $1 AND at_us > $2 ORDER BY at_us DESC, id DESC LIMIT $3",
            )
            .bind(prefix.to_string())
            .bind(now.saturating_sub(KEPT.as_micros() as i64))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
            let violation = |row: &<$database as sqlx::Database>::Row| {
                let addr: &str = row.try_get("addr")?;
                let addr = addr.parse::<IpAddr>();
                let addr = addr.map_err(|_| sql::unreadable("an address"))?;
                let id: Option<&str> = row.try_get("request_id")?;
                let endpoint: &str = row.try_get("endpoint")?;
                Ok(Violation::new(addr, row.try_get("at_us")?, endpoint)
                    .with_request_id(id.and_then(|id| id.parse().ok())))
            };
            rows.iter().map(violation).collect()
        }

        async fn impose_all(
            connection: &mut Connection,
            entries: Vec<BlockEntry>,
            now: i64,
        ) -> Result<Vec<BlockEntry>, sqlx::Error> {
            sqlx::query("DELETE FROM pm_guard_block WHERE forgotten_us <= $1")
                .bind(now)
                .execute(&mut *connection)
                .await?;
            if entries.is_empty() {
                return Ok(Vec::new());
            }
            let mut query = sqlx::QueryBuilder::<$database>::new(
                "SELECT * FROM pm_guard_block WHERE prefix IN (",
            );
            let mut list = query.separated(", ");
            for entry in &entries {
                list.push_bind(entry.prefix.to_string());
            }
            query.push(")");
            let rows = query.build().fetch_all(&mut *connection).await?;
            let known: Result<Vec<BlockEntry>, _> = rows.iter().map(entry).collect();
            let mut known: BTreeMap<Cidr, BlockEntry> = known?
                .into_iter()
                .map(|entry| (entry.prefix, entry))
                .collect();
            let state = sqlx::query("SELECT version FROM pm_guard_state");
            let before: i64 = state.fetch_one(&mut *connection).await?.try_get(0)?;
            let mut version = before.cast_unsigned();
            let mut stand = Vec::new();
            for mut entry in entries {
                let place = known.entry(entry.prefix);
                if let Entry::Occupied(known) = &place
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
                let new: Vec<&BlockEntry> = (known.values())
                    .filter(|entry| entry.version > before.cast_unsigned())
                    .collect();
                write_entries(connection, &new, version).await?;
            }
            Ok(stand)
        }

        async fn write_entries(
            connection: &mut Connection,
            entries: &[&BlockEntry],
            version: u64,
        ) -> Result<(), sqlx::Error> {
            let mut insert = sqlx::QueryBuilder::<$database>::new(
                "INSERT INTO pm_guard_block (prefix, effect, cause, reason, actor, since_us, \
                 until_us, level, forgotten_us, version) ",
            );
            insert.push_values(entries, |mut values, entry| {
                values
                    .push_bind(entry.prefix.to_string())
                    .push_bind(entry.effect.as_str())
                    .push_bind(entry.cause.as_str())
                    .push_bind(text(&entry.reason))
                    .push_bind(text(&entry.actor))
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

        async fn changes_since(
            connection: &mut Connection,
            since: Position,
        ) -> Result<Changes, sqlx::Error> {
            let state = sqlx::query("SELECT epoch FROM pm_guard_state");
            let epoch: i64 = state.fetch_one(&mut *connection).await?.try_get(0)?;
            let epoch = epoch.cast_unsigned();
            let known = if since.epoch == epoch {
                since.version
            } else {
                0
            };
            let rows = sqlx::query(
                "SELECT * FROM pm_guard_block WHERE version > $1 ORDER BY version LIMIT $2",
            )
            .bind(known.cast_signed())
            .bind(PAGE as i64)
            .fetch_all(connection)
            .await?;
            let entries: Result<Vec<BlockEntry>, _> = rows.iter().map(entry).collect();
            let entries = entries?;
            let version = entries.last().map_or(known, |last| last.version);
            Ok(Changes {
                position: Position { epoch, version },
                entries,
            })
        }

        fn entry(row: &<$database as sqlx::Database>::Row) -> Result<BlockEntry, sqlx::Error> {
            let effect = Effect::named(row.try_get("effect")?);
            let cause = Cause::named(row.try_get("cause")?);
            let level: i64 = row.try_get("level")?;
            let version: i64 = row.try_get("version")?;
            Ok(BlockEntry {
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
    };
}

pub(super) use verbs;
