//! The folder with everything that a server keeps.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

/// The folder with everything that a server keeps, for as long as this server uses it.
///
/// ```text
/// guard.sqlite           stored limits, who is kept out, and who was refused
/// signing-key.pem        signs and verifies tokens
/// tenants/NAME.sqlite    one tenant
/// tenants/probe          written to by health checks
/// lock                   held by the one server that uses the folder
/// address                where that server listens, while it does
/// ```
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    is_new: bool,
    /// Released by the operating system when the process ends, however it ends.
    _lock: File,
}

/// Why a folder cannot be used for data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataFolderError {
    /// Another server uses it.
    #[error(
        "another pm-server uses the data folder {}; stop that one, or choose another folder with \
         --data",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be made, read or written.
    #[error(
        "cannot write to the data folder {}: {source}; choose another folder with --data",
        path.display()
    )]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl DataFolder {
    /// Takes possession of a folder. Makes it, readable by its owner only, if it is not there.
    ///
    /// # Errors
    ///
    /// Another server has it, or it cannot be written to.
    pub fn open(path: &Path) -> Result<Self, DataFolderError> {
        let not_writable = |source| DataFolderError::NotWritable {
            path: path.to_owned(),
            source,
        };
        let is_new = !path.exists();
        private().create(path).map_err(not_writable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataFolderError::InUse {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        private().create(tenants(path)).map_err(not_writable)?;
        Ok(Self {
            path: path.to_owned(),
            is_new,
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was made just now.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Its permission bits, if they let others than its owner in. One that was there before keeps
    /// the bits that it has: they may be meant.
    #[must_use]
    pub fn open_to_others(&self) -> Option<u32> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&self.path).ok()?.permissions().mode() & 0o777;
            (mode & 0o077 != 0).then_some(mode)
        }
        #[cfg(not(unix))]
        None
    }

    /// Where it is kept who is kept out.
    #[must_use]
    pub fn guard(&self) -> PathBuf {
        self.path.join("guard.sqlite")
    }

    /// Where the files of its tenants are.
    #[must_use]
    pub fn tenants(&self) -> PathBuf {
        tenants(&self.path)
    }

    /// Writes down where its server listens, until the value is dropped.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn announce(&self, listening: SocketAddr) -> Result<Announcement, DataFolderError> {
        let path = self.path.join(ADDRESS);
        let draft = self.path.join("address.new");
        // Whole or not there: somebody may read it at any time.
        fs::write(&draft, format!("{}\n", reachable(listening)))
            .and_then(|()| fs::rename(&draft, &path))
            .map_err(|source| DataFolderError::NotWritable {
                path: self.path.clone(),
                source,
            })?;
        Ok(Announcement { path })
    }
}

/// Says where the server of a data folder listens.
#[derive(Debug)]
#[must_use = "it is withdrawn when it is dropped"]
pub struct Announcement {
    path: PathBuf,
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // If it stays, whoever reads it finds that nobody listens there.
        let _ = fs::remove_file(&self.path);
    }
}

/// The address at which the server that uses `data` listens; `None` if none says so.
///
/// # Errors
///
/// The folder is there and cannot be read.
pub fn announced(data: &Path) -> io::Result<Option<SocketAddr>> {
    match fs::read_to_string(data.join(ADDRESS)) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

const ADDRESS: &str = "address";

fn tenants(path: &Path) -> PathBuf {
    path.join("tenants")
}

/// From this machine: nobody can connect to "any address".
pub(crate) fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_a_time() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("a/b");
        let first = DataFolder::open(&path).unwrap();
        assert!(first.is_new() && first.tenants().is_dir());
        let error = DataFolder::open(&path).unwrap_err();
        assert!(matches!(error, DataFolderError::InUse { .. }), "{error:?}");
        drop(first);
        assert!(!DataFolder::open(&path).unwrap().is_new());
    }

    #[cfg(unix)]
    #[test]
    fn what_it_makes_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let outer = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&outer.path().join("data")).unwrap();
        for path in [folder.path(), &folder.tenants()] {
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o777,
                0o700
            );
        }
        assert_eq!(folder.open_to_others(), None);
    }

    #[cfg(unix)]
    #[test]
    fn one_that_was_there_before_keeps_its_mode_and_its_tenants_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        fs::create_dir(&path).unwrap();
        for mode in [0o755, 0o750, 0o701] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let folder = DataFolder::open(&path).unwrap();
            assert_eq!(folder.open_to_others(), Some(mode));
            let tenants = fs::metadata(folder.tenants()).unwrap();
            assert_eq!(tenants.permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn below_a_file_there_is_no_folder() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("file"), "").unwrap();
        let error = DataFolder::open(&outer.path().join("file/data")).unwrap_err();
        assert!(
            matches!(error, DataFolderError::NotWritable { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("--data"), "{error}");
    }

    #[test]
    fn the_address_is_there_while_it_is_announced() {
        let data = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(data.path()).unwrap();
        assert_eq!(announced(data.path()).unwrap(), None);
        let announcement = folder.announce("0.0.0.0:7171".parse().unwrap()).unwrap();
        let found = announced(data.path()).unwrap();
        assert_eq!(found, Some("127.0.0.1:7171".parse().unwrap()));
        drop(announcement);
        assert_eq!(announced(data.path()).unwrap(), None);
    }
}
