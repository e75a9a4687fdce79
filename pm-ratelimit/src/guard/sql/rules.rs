//! Rules in a table.

/// [`RuleStore`](crate::RuleStore) for one kind of database.
macro_rules! rules {
    ($database:ident, $store:ident) => {
        mod rules {
            use std::collections::BTreeMap;
            use std::sync::Arc;

            use async_trait::async_trait;
            use pm_core::Identity;
            use sqlx::{Database, Error as SqlError, QueryBuilder, Row as _};

            use super::quotas::{self, state, write_state};
            use crate::guard::row::RuleRow;
            use crate::rule_book::{
                Assigned, Changes, Position, RuleStore, SavedRules, Told,
            };
            use crate::{Error, PolicyName, Quota, Rule};

            type Connection = <sqlx::$database as Database>::Connection;
            type Row = <sqlx::$database as Database>::Row;

            #[async_trait]
            impl RuleStore for super::$store {
                async fn edit(
                    self: Arc<Self>,
                    edits: Vec<(PolicyName, Option<Rule>)>,
                    at: Position,
                ) -> Result<Option<u64>, Error> {
                    self.within_deadline(async {
                        let mut transaction = self.begin().await?;
                        let edited = edit(&mut transaction, &edits, at).await?;
                        transaction.commit().await?;
                        Ok(edited)
                    })
                    .await
                }

                async fn assign(
                    self: Arc<Self>,
                    rule: PolicyName,
                    user: Identity,
                    quota: Quota,
                ) -> Result<Position, Error> {
                    self.within_deadline(async {
                        let mut transaction = self.begin().await?;
                        let position = quotas::assign(&mut transaction, &rule, &user, quota).await?;
                        transaction.commit().await?;
                        Ok(position)
                    })
                    .await
                }

                async fn withdraw(
                    self: Arc<Self>,
                    rule: PolicyName,
                    user: Identity,
                ) -> Result<Option<Position>, Error> {
                    self.within_deadline(async {
                        let mut transaction = self.begin().await?;
                        let position = quotas::withdraw(&mut transaction, &rule, &user).await?;
                        transaction.commit().await?;
                        Ok(position)
                    })
                    .await
                }

                async fn quota(
                    self: Arc<Self>,
                    rule: PolicyName,
                    user: Identity,
                ) -> Result<Told, Error> {
                    self.within_deadline(async {
                        let mut connection = self.pool.acquire().await?;
                        quotas::quota(&mut connection, &rule, &user).await
                    })
                    .await
                }

                async fn quotas(
                    self: Arc<Self>,
                    of: Option<Identity>,
                    after: Option<(Identity, PolicyName)>,
                    limit: usize,
                ) -> Result<Vec<Assigned>, Error> {
                    self.within_deadline(async {
                        let mut connection = self.pool.acquire().await?;
                        quotas::page(&mut connection, of.as_ref(), after.as_ref(), limit).await
                    })
                    .await
                }

                async fn changes(self: Arc<Self>, since: Position) -> Result<Changes, Error> {
                    self.within_deadline(async {
                        let mut snapshot = self.snapshot().await?;
                        let changes = changes(&mut snapshot, since).await?;
                        snapshot.rollback().await?;
                        Ok(changes)
                    })
                    .await
                }
            }

            async fn edit(
                connection: &mut Connection,
                edits: &[(PolicyName, Option<Rule>)],
                at: Position,
            ) -> Result<Option<u64>, SqlError> {
                let mut state = state(connection).await?;
                if (at.epoch, at.version) != (state.position.epoch, state.changed) {
                    return Ok(None);
                }
                if edits.is_empty() {
                    return Ok(Some(state.changed));
                }
                let mut query = QueryBuilder::<sqlx::$database>::new(
                    "SELECT * FROM pm_guard_rule WHERE name IN (",
                );
                list(&mut query, edits.iter().map(|(name, _)| name));
                let known = query.build().fetch_all(&mut *connection).await?;
                let known: Result<Vec<RuleRow>, _> = known.iter().map(rule).collect();
                let known: BTreeMap<String, RuleRow> =
                    (known?.into_iter()).map(|row| (row.name.clone(), row)).collect();

                let version = state.position.version + 1;
                let (mut put, mut removed) = (Vec::new(), Vec::new());
                for (name, rule) in edits {
                    let known = known.get(name.as_str());
                    match rule {
                        Some(rule) => {
                            let row = RuleRow::new(name, rule, version);
                            let row = row.map_err(|error| SqlError::Encode(error.into()))?;
                            let is_known = known.is_some_and(|known| {
                                let version = known.version;
                                *known == RuleRow { version, ..row.clone() }
                            });
                            if !is_known {
                                put.push(row);
                            }
                        }
                        None if known.is_some() => removed.push(name),
                        None => {}
                    }
                }
                if put.is_empty() && removed.is_empty() {
                    return Ok(Some(state.changed));
                }
                if !removed.is_empty() {
                    let mut delete = QueryBuilder::<sqlx::$database>::new(
                        "DELETE FROM pm_guard_rule WHERE name IN (",
                    );
                    list(&mut delete, removed.into_iter());
                    delete.build().execute(&mut *connection).await?;
                }
                if !put.is_empty() {
                    write_rules(connection, put).await?;
                }
                state.position.version = version;
                state.changed = version;
                write_state(connection, state).await?;
                Ok(Some(version))
            }

            fn list<'a>(
                query: &mut QueryBuilder<sqlx::$database>,
                names: impl Iterator<Item = &'a PolicyName>,
            ) {
                let mut list = query.separated(", ");
                for name in names {
                    list.push_bind(name.as_str().to_owned());
                }
                query.push(")");
            }

            async fn write_rules(
                connection: &mut Connection,
                rows: Vec<RuleRow>,
            ) -> Result<(), SqlError> {
                let mut insert = QueryBuilder::<sqlx::$database>::new(
                    "INSERT INTO pm_guard_rule (name, endpoint_pattern, http_method, priority, \
                     bucket_capacity, refill_rate, window_seconds, window_millis, subject, cost, \
                     stage, roles, shadow, if_store_fails, leased, version) ",
                );
                insert.push_values(rows, |mut values, row| {
                    values
                        .push_bind(row.name)
                        .push_bind(row.endpoint_pattern)
                        .push_bind(row.http_method)
                        .push_bind(row.priority)
                        .push_bind(row.quota.bucket_capacity)
                        .push_bind(row.quota.refill_rate)
                        .push_bind(row.quota.window_seconds)
                        .push_bind(row.quota.window_millis)
                        .push_bind(row.subject)
                        .push_bind(row.cost)
                        .push_bind(row.stage)
                        .push_bind(row.roles)
                        .push_bind(row.shadow)
                        .push_bind(row.if_store_fails)
                        .push_bind(row.leased)
                        .push_bind(row.version);
                });
                insert.push(
                    " ON CONFLICT (name) DO UPDATE SET \
                     endpoint_pattern = excluded.endpoint_pattern, \
                     http_method = excluded.http_method, priority = excluded.priority, \
                     bucket_capacity = excluded.bucket_capacity, \
                     refill_rate = excluded.refill_rate, \
                     window_seconds = excluded.window_seconds, \
                     window_millis = excluded.window_millis, subject = excluded.subject, \
                     cost = excluded.cost, stage = excluded.stage, roles = excluded.roles, \
                     shadow = excluded.shadow, if_store_fails = excluded.if_store_fails, \
                     leased = excluded.leased, version = excluded.version",
                );
                insert.build().execute(connection).await?;
                Ok(())
            }

            async fn changes(
                connection: &mut Connection,
                since: Position,
            ) -> Result<Changes, SqlError> {
                let state = state(connection).await?;
                let known = since.known_of(state.position);
                let rules = if known.is_none_or(|known| known < state.changed) {
                    let rows = sqlx::query("SELECT * FROM pm_guard_rule ORDER BY name");
                    let rows = rows.fetch_all(&mut *connection).await?;
                    let rows: Result<Vec<RuleRow>, _> = rows.iter().map(rule).collect();
                    Some(SavedRules {
                        version: state.changed,
                        rules: rows?.into_iter().map(RuleRow::read).collect(),
                    })
                } else {
                    None
                };
                let heard = known.filter(|known| *known >= state.forgotten);
                let quotas = match heard {
                    Some(heard) => Some(quotas::newer(connection, heard).await?),
                    None => None,
                };
                Ok(Changes::new(state.position, rules, state.changed, quotas))
            }

            fn rule(row: &Row) -> Result<RuleRow, SqlError> {
                Ok(RuleRow {
                    name: row.try_get("name")?,
                    endpoint_pattern: row.try_get("endpoint_pattern")?,
                    http_method: row.try_get("http_method")?,
                    priority: row.try_get("priority")?,
                    quota: quotas::row(row)?,
                    subject: row.try_get("subject")?,
                    cost: row.try_get("cost")?,
                    stage: row.try_get("stage")?,
                    roles: row.try_get("roles")?,
                    shadow: row.try_get("shadow")?,
                    if_store_fails: row.try_get("if_store_fails")?,
                    leased: row.try_get("leased")?,
                    version: row.try_get("version")?,
                })
            }
        }
    };
}

pub(in crate::guard) use rules;
