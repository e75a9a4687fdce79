//! Violations in tables.

use sqlx::Error as SqlError;

use super::unreadable;
use crate::violations::Ring;

/// The moments of a ring as text: whole numbers and commas.
pub(in crate::guard) fn written_ring(ring: &Ring) -> String {
    let times: Vec<String> = ring.times.iter().map(ToString::to_string).collect();
    times.join(",")
}

pub(in crate::guard) fn read_ring(times: &str, raised: bool) -> Result<Ring, SqlError> {
    let times = times.split(',').filter(|time| !time.is_empty());
    let times: Result<Vec<i64>, _> = times.map(str::parse).collect();
    let times = times.map_err(|_| unreadable("a list of moments"))?;
    Ok(Ring { times, raised })
}

/// [`ViolationStore`](crate::ViolationStore) for one kind of database.
macro_rules! violations {
    ($database:ident, $store:ident) => {
        mod violations {
            use std::collections::{BTreeMap, BTreeSet};
            use std::net::IpAddr;
            use std::sync::Arc;

            use async_trait::async_trait;
            use pm_core::Cidr;
            use sqlx::{Database, Error as SqlError, Row as _};

            use crate::Error;
            use crate::guard::sql;
            use crate::violations::{KEPT, Ring, Threshold, Violation, ViolationStore};

            type Connection = <sqlx::$database as Database>::Connection;
            type Row = <sqlx::$database as Database>::Row;

            #[async_trait]
            impl ViolationStore for super::$store {
                async fn record(
                    self: Arc<Self>,
                    rows: Vec<Violation>,
                    alert: Threshold,
                    now_micros: i64,
                ) -> Result<Vec<Cidr>, Error> {
                    self.within_deadline(async {
                        let mut transaction = self.begin().await?;
                        let passed = add(&mut transaction, &rows, &alert, now_micros).await?;
                        transaction.commit().await?;
                        Ok(passed)
                    })
                    .await
                }

                async fn recent(
                    self: Arc<Self>,
                    prefix: Cidr,
                    limit: usize,
                    now_micros: i64,
                ) -> Result<Vec<Violation>, Error> {
                    self.within_deadline(async {
                        let mut connection = self.pool.acquire().await?;
                        recent(&mut connection, prefix, limit, now_micros).await
                    })
                    .await
                }
            }

            async fn add(
                connection: &mut Connection,
                rows: &[Violation],
                alert: &Threshold,
                now: i64,
            ) -> Result<Vec<Cidr>, SqlError> {
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
                let mut insert = sqlx::QueryBuilder::<sqlx::$database>::new(
                    "INSERT INTO pm_guard_violation (prefix, addr, at_us, endpoint, request_id) ",
                );
                insert.push_values(rows, |mut values, row| {
                    values
                        .push_bind(row.prefix().to_string())
                        .push_bind(row.addr().to_string())
                        .push_bind(row.at_micros())
                        .push_bind(super::text(row.endpoint()))
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
                let mut write = sqlx::QueryBuilder::<sqlx::$database>::new(
                    "INSERT INTO pm_guard_watched (prefix, times, raised, latest_us) ",
                );
                write.push_values(&rings, |mut values, (prefix, ring)| {
                    values
                        .push_bind(prefix.to_string())
                        .push_bind(sql::written_ring(ring))
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
            ) -> Result<BTreeMap<Cidr, Ring>, SqlError> {
                let mut query = sqlx::QueryBuilder::<sqlx::$database>::new(
                    "SELECT prefix, times, raised FROM pm_guard_watched WHERE prefix IN (",
                );
                let mut list = query.separated(", ");
                for prefix in prefixes {
                    list.push_bind(prefix.to_string());
                }
                query.push(")");
                let rows = query.build().fetch_all(connection).await?;
                let ring = |row: &Row| {
                    let ring = sql::read_ring(row.try_get("times")?, row.try_get("raised")?)?;
                    Ok((sql::prefix(row.try_get("prefix")?)?, ring))
                };
                rows.iter().map(ring).collect()
            }

            async fn recent(
                connection: &mut Connection,
                prefix: Cidr,
                limit: usize,
                now: i64,
            ) -> Result<Vec<Violation>, SqlError> {
                let rows = sqlx::query(
                    "SELECT addr, at_us, endpoint, request_id FROM pm_guard_violation \
                     WHERE prefix = $1 AND at_us > $2 ORDER BY at_us DESC, id DESC LIMIT $3",
                )
                .bind(prefix.to_string())
                .bind(now.saturating_sub(KEPT.as_micros() as i64))
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(connection)
                .await?;
                let violation = |row: &Row| {
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
        }
    };
}

pub(in crate::guard) use violations;
