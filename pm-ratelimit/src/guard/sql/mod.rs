//! What SQLite and PostgreSQL have in common: a backend only opens, locks and commits.

mod blocks;
mod emergency;
mod quotas;
mod rules;
mod violations;

use std::hash::BuildHasher;

use pm_core::Cidr;
use sqlx::Error as SqlError;

use crate::Error;
use crate::guard::Unreadable;

pub(super) use self::blocks::blocks;
pub(super) use self::emergency::emergency;
pub(super) use self::quotas::{State, quotas};
pub(super) use self::rules::rules;
pub(super) use self::violations::{read_ring, violations, written_ring};

/// The schema that this version of the crate reads and writes.
pub(super) const SCHEMA: i64 = 3;

/// `lock_not_available` of PostgreSQL.
const LOCK_TIMED_OUT: &str = "55P03";

pub(super) fn failed(error: SqlError) -> Error {
    match error {
        SqlError::PoolTimedOut => Error::TimedOut,
        SqlError::Decode(source) if source.is::<Unreadable>() => Error::Unavailable(source),
        SqlError::Database(error) if error.code().as_deref() == Some(LOCK_TIMED_OUT) => {
            Error::TimedOut
        }
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
    SqlError::Decode(Unreadable(what).into())
}

pub(super) fn prefix(text: &str) -> Result<Cidr, SqlError> {
    text.parse().map_err(|_| unreadable("a prefix"))
}

/// A random number that fits the column.
pub(super) fn new_epoch() -> i64 {
    let random = std::collections::hash_map::RandomState::new().hash_one(());
    (random >> 1 | 1).cast_signed()
}

/// All that a backend does with one kind of database, whose `begin` lets one writer in at a time.
macro_rules! backend {
    ($database:ident, $store:ident) => {
        sql::blocks!($database, $store);
        sql::emergency!($database, $store);
        sql::quotas!($database);
        sql::rules!($database, $store);
        sql::violations!($database, $store);

        impl $store {
            async fn make_tables(&self) -> Result<(), Error> {
                let made = async {
                    let mut transaction = self.begin().await?;
                    let known = sqlx::query(KNOWN).fetch_one(&mut *transaction).await?;
                    if !known.try_get::<bool, _>(0)? {
                        sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
                        let state =
                            "INSERT INTO pm_guard_state (one, schema, epoch) VALUES (1, $1, $2)";
                        sqlx::query(state)
                            .bind(sql::SCHEMA)
                            .bind(sql::new_epoch())
                            .execute(&mut *transaction)
                            .await?;
                    }
                    let schema = sqlx::query("SELECT schema FROM pm_guard_state");
                    let schema: i64 = schema.fetch_one(&mut *transaction).await?.try_get(0)?;
                    transaction.commit().await?;
                    Ok(schema)
                };
                match made.await.map_err(sql::failed)? {
                    sql::SCHEMA => Ok(()),
                    other => Err(Error::unavailable(sql::OtherSchema(other))),
                }
            }

            async fn within_deadline<T>(
                &self,
                work: impl Future<Output = Result<T, sqlx::Error>>,
            ) -> Result<T, Error> {
                let done = self.clock.within(DEADLINE, work).await;
                done.map_err(|_| Error::TimedOut)?.map_err(sql::failed)
            }
        }

        impl fmt::Debug for $store {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($store)).finish_non_exhaustive()
            }
        }
    };
}

pub(super) use backend;
