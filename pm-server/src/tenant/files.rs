use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Storage, TenantName};
use crate::store::{Log, SqliteLog, StoreError, probe_sqlite};

/// Tenants as files in one folder: `NAME.sqlite`. Beside them, `probe` is what is written to find out
/// whether that is possible.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
    /// Held while the folder is probed.
    probing: Arc<Mutex<()>>,
}

impl Files {
    /// The tenants in `folder`, which must exist.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            probing: Arc::default(),
        }
    }

    fn path(&self, name: &TenantName) -> PathBuf {
        self.folder.join(format!("{name}.sqlite"))
    }
}

#[async_trait]
impl Storage for Files {
    async fn names(&self) -> Result<Vec<TenantName>, StoreError> {
        let mut folder = tokio::fs::read_dir(&self.folder)
            .await
            .map_err(unavailable)?;
        let mut names = Vec::new();
        while let Some(entry) = folder.next_entry().await.map_err(unavailable)? {
            names.extend(tenant(&entry.path()));
        }
        names.sort();
        Ok(names)
    }

    async fn create(&self, name: &TenantName) -> Result<bool, StoreError> {
        let path = self.path(name);
        if exists(&path).await? {
            return Ok(false);
        }
        SqliteLog::create(&path, name.as_str())
            .await?
            .close()
            .await?;
        Ok(true)
    }

    async fn open(&self, name: &TenantName) -> Result<Option<Arc<dyn Log>>, StoreError> {
        let path = self.path(name);
        if !exists(&path).await? {
            return Ok(None);
        }
        let log = SqliteLog::open(&path, name.as_str()).await?;
        Ok(Some(Arc::new(log)))
    }

    /// **Spawns a task**, which ends with the probe: a disk that hangs holds one probe up, however often
    /// it is asked and given up.
    async fn probe(&self) -> Result<(), StoreError> {
        let probing = self.probing.clone().try_lock_owned();
        let turn = probing.map_err(|_| StoreError::Unavailable("it hangs".into()))?;
        let path = self.folder.join("probe");
        let probe = tokio::spawn(async move {
            let result = probe_sqlite(&path).await;
            drop(turn);
            result
        });
        let panicked = |error| Err(StoreError::Unavailable(Box::new(error)));
        probe.await.unwrap_or_else(panicked)
    }
}

/// The tenant whose file this is: SQLite's own files beside it, and whatever else, are nobody's.
fn tenant(path: &Path) -> Option<TenantName> {
    let stem = path
        .extension()
        .filter(|extension| *extension == "sqlite")
        .and_then(|_| path.file_stem())?;
    stem.to_str()?.parse().ok()
}

async fn exists(path: &Path) -> Result<bool, StoreError> {
    tokio::fs::try_exists(path).await.map_err(unavailable)
}

fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TenantName {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn opening_never_creates() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        assert!(files.open(&name("acme")).await.unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_tenant_is_created_once_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        for tenant in ["beta", "acme"] {
            assert!(files.create(&name(tenant)).await.unwrap());
            assert!(!files.create(&name(tenant)).await.unwrap());
        }
        for stray in [
            "acme.sqlite-wal",
            "NOT.sqlite",
            "notes.txt",
            ".sqlite",
            "a.b.sqlite",
        ] {
            std::fs::write(folder.path().join(stray), "").unwrap();
        }
        assert_eq!(files.names().await.unwrap(), [name("acme"), name("beta")]);
        let log = files.open(&name("acme")).await.unwrap().unwrap();
        assert_eq!(log.head().await.unwrap().rev, 0);
        log.close().await.unwrap();
    }
}
