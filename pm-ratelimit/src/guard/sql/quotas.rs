//! Quotas of users in a table, and where the store of rules stands.

use crate::guard::Position;

/// Where the store stands, apart from its blocks.
#[derive(Clone, Copy, Debug)]
pub(in crate::guard) struct State {
    pub(in crate::guard) position: Position,
    /// The version of the last change of a rule.
    pub(in crate::guard) changed: u64,
    /// The version of the last withdrawn quota that was forgotten.
    pub(in crate::guard) forgotten: u64,
}

/// What the store of rules does with quotas, for one kind of database.
macro_rules! quotas {
    ($database:ident) => {
        mod quotas {
            use pm_core::Identity;
            use sqlx::{Database, Error as SqlError, QueryBuilder, Row as _};

            use crate::guard::WITHDRAWN;
            use crate::guard::row::QuotaRow;
            use crate::guard::sql::{State, unreadable};
            use crate::rule_book::{Assigned, PAGE, Position, QuotaChange, QuotaPage, Told};
            use crate::{PolicyName, Quota};

            type Connection = <sqlx::$database as Database>::Connection;
            type Row = <sqlx::$database as Database>::Row;

            pub(super) async fn assign(
                connection: &mut Connection,
                rule: &PolicyName,
                user: &Identity,
                quota: Quota,
            ) -> Result<Position, SqlError> {
                let mut state = state(connection).await?;
                // One that cannot be read is another one.
                if let Some(known) = known(connection, rule, user).await?
                    && let Ok(known) = change(&known)
                    && known.quota == Some(quota)
                {
                    return Ok(Position {
                        version: known.version,
                        ..state.position
                    });
                }
                state.position.version += 1;
                let row = QuotaRow::from(quota);
                sqlx::query(
                    "INSERT INTO pm_guard_user_quota (tenant, user_id, rule, bucket_capacity, \
                     refill_rate, window_seconds, window_millis, withdrawn, version) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, FALSE, $8) \
                     ON CONFLICT (tenant, user_id, rule) DO UPDATE SET \
                     bucket_capacity = excluded.bucket_capacity, \
                     refill_rate = excluded.refill_rate, \
                     window_seconds = excluded.window_seconds, \
                     window_millis = excluded.window_millis, \
                     withdrawn = excluded.withdrawn, version = excluded.version",
                )
                .bind(user.tenant().unwrap_or_default())
                .bind(user.subject())
                .bind(rule.as_str())
                .bind(row.bucket_capacity)
                .bind(row.refill_rate)
                .bind(row.window_seconds)
                .bind(row.window_millis)
                .bind(state.position.version.cast_signed())
                .execute(&mut *connection)
                .await?;
                write_state(connection, state).await?;
                Ok(state.position)
            }

            pub(super) async fn withdraw(
                connection: &mut Connection,
                rule: &PolicyName,
                user: &Identity,
            ) -> Result<Option<Position>, SqlError> {
                let known = known(connection, rule, user).await?;
                let Some(known) = known else { return Ok(None) };
                if known.try_get("withdrawn")? {
                    return Ok(None);
                }
                let mut state = state(connection).await?;
                state.position.version += 1;
                sqlx::query(
                    "UPDATE pm_guard_user_quota SET withdrawn = TRUE, version = $4 \
                     WHERE tenant = $1 AND user_id = $2 AND rule = $3",
                )
                .bind(user.tenant().unwrap_or_default())
                .bind(user.subject())
                .bind(rule.as_str())
                .bind(state.position.version.cast_signed())
                .execute(&mut *connection)
                .await?;
                let oldest = sqlx::query(
                    "SELECT version FROM pm_guard_user_quota WHERE withdrawn \
                     ORDER BY version DESC LIMIT 1 OFFSET $1",
                );
                let oldest = oldest.bind(WITHDRAWN as i64).fetch_optional(&mut *connection);
                if let Some(row) = oldest.await? {
                    let oldest: i64 = row.try_get(0)?;
                    let forget = "DELETE FROM pm_guard_user_quota WHERE withdrawn AND version <= $1";
                    sqlx::query(forget).bind(oldest).execute(&mut *connection).await?;
                    state.forgotten = oldest.cast_unsigned();
                }
                write_state(connection, state).await?;
                Ok(Some(state.position))
            }

            async fn known(
                connection: &mut Connection,
                rule: &PolicyName,
                user: &Identity,
            ) -> Result<Option<Row>, SqlError> {
                sqlx::query(
                    "SELECT * FROM pm_guard_user_quota \
                     WHERE tenant = $1 AND user_id = $2 AND rule = $3",
                )
                .bind(user.tenant().unwrap_or_default())
                .bind(user.subject())
                .bind(rule.as_str())
                .fetch_optional(connection)
                .await
            }

            pub(super) async fn quota(
                connection: &mut Connection,
                rule: &PolicyName,
                user: &Identity,
            ) -> Result<Told, SqlError> {
                // One statement, and so one moment.
                let row = sqlx::query(
                    "SELECT state.epoch, state.rules_version, quota.* FROM pm_guard_state AS state \
                     LEFT JOIN pm_guard_user_quota AS quota ON quota.tenant = $1 \
                     AND quota.user_id = $2 AND quota.rule = $3 AND NOT quota.withdrawn",
                )
                .bind(user.tenant().unwrap_or_default())
                .bind(user.subject())
                .bind(rule.as_str())
                .fetch_one(connection)
                .await?;
                let is_assigned = row.try_get::<Option<&str>, _>("rule")?.is_some();
                Ok(Told {
                    quota: is_assigned.then(|| quota_of(&row)).transpose()?,
                    position: position(&row)?,
                })
            }

            pub(super) async fn page(
                connection: &mut Connection,
                of: Option<&Identity>,
                after: Option<&(Identity, PolicyName)>,
                limit: usize,
            ) -> Result<Vec<Assigned>, SqlError> {
                // Nothing comes before three empty texts.
                let (tenant, user, rule) = after.map_or(("", "", ""), |(user, rule)| {
                    let tenant = user.tenant().unwrap_or_default();
                    (tenant, user.subject(), rule.as_str())
                });
                let mut query = QueryBuilder::<sqlx::$database>::new(
                    "SELECT * FROM pm_guard_user_quota WHERE NOT withdrawn \
                     AND (tenant, user_id, rule) > (",
                );
                let mut place = query.separated(", ");
                place.push_bind(tenant).push_bind(user).push_bind(rule);
                query.push(")");
                if let Some(of) = of {
                    query.push(" AND tenant = ").push_bind(of.tenant().unwrap_or_default());
                    query.push(" AND user_id = ").push_bind(of.subject());
                }
                query.push(" ORDER BY tenant, user_id, rule LIMIT ");
                query.push_bind(limit.min(PAGE) as i64);
                let rows = query.build().fetch_all(connection).await?;
                let rows = rows.iter().map(change);
                rows.filter_map(|change| change.map(QuotaChange::assigned).transpose()).collect()
            }

            /// As they are by now, by version.
            pub(super) async fn newer(
                connection: &mut Connection,
                version: u64,
            ) -> Result<QuotaPage, SqlError> {
                let newer = sqlx::query(
                    "SELECT * FROM pm_guard_user_quota WHERE version > $1 ORDER BY version LIMIT $2",
                );
                let newer = newer.bind(version.cast_signed()).bind(PAGE as i64);
                let rows = newer.fetch_all(connection).await?;
                let versioned = |row| Ok((version_of(row)?, change(row)));
                rows.iter().map(versioned).collect()
            }

            pub(super) async fn state(connection: &mut Connection) -> Result<State, SqlError> {
                let row = sqlx::query(
                    "SELECT epoch, rules_version, rules_changed, rules_forgotten FROM pm_guard_state",
                );
                let row = row.fetch_one(connection).await?;
                Ok(State {
                    position: position(&row)?,
                    changed: row.try_get::<i64, _>("rules_changed")?.cast_unsigned(),
                    forgotten: row.try_get::<i64, _>("rules_forgotten")?.cast_unsigned(),
                })
            }

            pub(super) async fn write_state(
                connection: &mut Connection,
                state: State,
            ) -> Result<(), SqlError> {
                sqlx::query(
                    "UPDATE pm_guard_state SET rules_version = $1, rules_changed = $2, \
                     rules_forgotten = $3",
                )
                .bind(state.position.version.cast_signed())
                .bind(state.changed.cast_signed())
                .bind(state.forgotten.cast_signed())
                .execute(connection)
                .await?;
                Ok(())
            }

            fn position(row: &Row) -> Result<Position, SqlError> {
                Ok(Position {
                    epoch: row.try_get::<i64, _>("epoch")?.cast_unsigned(),
                    version: row.try_get::<i64, _>("rules_version")?.cast_unsigned(),
                })
            }

            pub(super) fn row(row: &Row) -> Result<QuotaRow, SqlError> {
                Ok(QuotaRow {
                    bucket_capacity: row.try_get("bucket_capacity")?,
                    refill_rate: row.try_get("refill_rate")?,
                    window_seconds: row.try_get("window_seconds")?,
                    window_millis: row.try_get("window_millis")?,
                })
            }

            fn quota_of(row: &Row) -> Result<Quota, SqlError> {
                let quota = self::row(row)?.try_into();
                quota.map_err(|_| unreadable("the quota of a user"))
            }

            fn change(row: &Row) -> Result<QuotaChange, SqlError> {
                let user = Identity::new(row.try_get::<&str, _>("user_id")?);
                let user = match row.try_get::<&str, _>("tenant")? {
                    "" => user,
                    tenant => user.with_tenant(tenant),
                };
                let rule = PolicyName::try_from(row.try_get::<String, _>("rule")?);
                let is_withdrawn: bool = row.try_get("withdrawn")?;
                Ok(QuotaChange {
                    user,
                    rule: rule.map_err(|_| unreadable("the name of a rule"))?,
                    quota: (!is_withdrawn).then(|| quota_of(row)).transpose()?,
                    version: version_of(row)?,
                })
            }

            fn version_of(row: &Row) -> Result<u64, SqlError> {
                Ok(row.try_get::<i64, _>("version")?.cast_unsigned())
            }
        }
    };
}

pub(in crate::guard) use quotas;
