use std::path::Path;

use sqlx::{ConnectOptions, Connection, Row};

use super::open::writing;
use crate::store::StoreError;

/// Whether files of tenants can be opened, written and read where `path` is: done with one there, which
/// is made if it is missing, and has one row.
///
/// Opened anew each time: a file that was open before its folder was lost would still work.
///
/// # Errors
///
/// What a tenant's file there would meet.
pub(crate) async fn probe_sqlite(path: &Path) -> Result<(), StoreError> {
    let mut connection = writing(path, true).connect().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS probe (one INTEGER PRIMARY KEY, mark INTEGER)")
        .execute(&mut *transaction)
        .await?;
    let mark = fastrand::i64(..);
    sqlx::query("INSERT OR REPLACE INTO probe (one, mark) VALUES (1, ?)")
        .bind(mark)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let read = sqlx::query("SELECT mark FROM probe")
        .fetch_one(&mut connection)
        .await?;
    let read: i64 = read.try_get("mark")?;
    connection.close().await?;
    if read == mark {
        Ok(())
    } else {
        Err(StoreError::corrupt("it does not hold what was written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_can_be_written_to_passes_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe");
        for _ in 0..3 {
            probe_sqlite(&path).await.unwrap();
        }
        // Nothing is left open, and nothing grows.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_fails_and_passes_once_it_is_back() {
        let outer = tempfile::tempdir().unwrap();
        let (folder, aside) = (outer.path().join("tenants"), outer.path().join("aside"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("probe");
        probe_sqlite(&path).await.unwrap();
        std::fs::rename(&folder, &aside).unwrap();
        let error = probe_sqlite(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        std::fs::rename(&aside, &folder).unwrap();
        probe_sqlite(&path).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_database_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe");
        std::fs::write(&path, vec![7; 5000]).unwrap();
        let error = probe_sqlite(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
}
