use crate::store::StoreError;

/// The primary result code is the lower byte of the extended one.
const PRIMARY: i64 = 0xff;
const CONSTRAINT: i64 = 19;
const CORRUPT: i64 = 11;
const NOT_A_DATABASE: i64 = 26;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = match &error {
            sqlx::Error::Database(database) => database.code().and_then(|code| code.parse().ok()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => Some(CORRUPT),
            _ => None,
        };
        match code.map(|code: i64| code & PRIMARY) {
            Some(CONSTRAINT) => Self::Constraint(Box::new(error)),
            Some(CORRUPT | NOT_A_DATABASE) => Self::Corrupt {
                what: "SQLite cannot read it".to_owned(),
                source: Some(Box::new(error)),
            },
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the log was closed".into())
}
