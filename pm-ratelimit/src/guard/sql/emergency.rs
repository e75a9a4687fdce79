//! The last word about emergencies, in a table of one row.

/// [`EmergencyStore`](crate::EmergencyStore) for one kind of database.
macro_rules! emergency {
    ($database:ident, $store:ident) => {
        mod emergency {
            use std::sync::Arc;

            use async_trait::async_trait;
            use sqlx::{Database, Error as SqlError, Row as _};

            use crate::Error;
            use crate::emergency::{EmergencyStore, Word};

            type Connection = <sqlx::$database as Database>::Connection;

            #[async_trait]
            impl EmergencyStore for super::$store {
                async fn exchange(
                    self: Arc<Self>,
                    known: Option<Word>,
                ) -> Result<Option<Word>, Error> {
                    self.within_deadline(async {
                        let stands = {
                            let mut connection = self.pool.acquire().await?;
                            read(&mut connection).await?
                        };
                        let Some(known) = known.filter(|known| known.replaces(stands.as_ref()))
                        else {
                            return Ok(stands);
                        };
                        let mut transaction = self.begin().await?;
                        write(&mut transaction, &known).await?;
                        let stands = read(&mut transaction).await?;
                        transaction.commit().await?;
                        Ok(stands)
                    })
                    .await
                }
            }

            /// Unless somebody has said something later meanwhile.
            async fn write(connection: &mut Connection, word: &Word) -> Result<(), SqlError> {
                let profile = word.profile.as_deref();
                sqlx::query(
                    "INSERT INTO pm_guard_emergency \
                     (one, profile, said_us, until_us, actor, reason) \
                     VALUES (1, $1, $2, $3, $4, $5) \
                     ON CONFLICT (one) DO UPDATE SET profile = excluded.profile, \
                     said_us = excluded.said_us, until_us = excluded.until_us, \
                     actor = excluded.actor, reason = excluded.reason \
                     WHERE pm_guard_emergency.said_us < excluded.said_us",
                )
                .bind(profile.map(super::text))
                .bind(word.said_micros)
                .bind(word.until_micros)
                .bind(super::text(&word.by))
                .bind(super::text(&word.because))
                .execute(connection)
                .await?;
                Ok(())
            }

            async fn read(connection: &mut Connection) -> Result<Option<Word>, SqlError> {
                let row = sqlx::query(
                    "SELECT profile, said_us, until_us, actor, reason FROM pm_guard_emergency",
                );
                let Some(row) = row.fetch_optional(connection).await? else {
                    return Ok(None);
                };
                Ok(Some(Word {
                    profile: row.try_get::<Option<&str>, _>("profile")?.map(Into::into),
                    said_micros: row.try_get("said_us")?,
                    until_micros: row.try_get("until_us")?,
                    by: row.try_get::<&str, _>("actor")?.into(),
                    because: row.try_get::<&str, _>("reason")?.into(),
                }))
            }
        }
    };
}

pub(in crate::guard) use emergency;
