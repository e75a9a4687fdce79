//! The signing key on disk: readable by its owner only, whole or not there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use super::KeyError;

/// The name of the file in the data folder.
const NAME: &str = "signing-key.pem";

/// More than any RSA key needs.
const MAX_BYTES: u64 = 64 * 1024;

pub(super) fn path(data: &Path) -> PathBuf {
    data.join(NAME)
}

/// The content of the key file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let unreadable = |source: io::Error| KeyError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => KeyError::Missing {
            path: path.to_owned(),
        },
        _ => unreadable(error),
    })?;
    // Of the open file: whatever the path names a moment later is not what is read.
    check_mode(path, &file.metadata().map_err(unreadable)?)?;
    let mut pem = Vec::new();
    file.take(MAX_BYTES)
        .read_to_end(&mut pem)
        .map_err(unreadable)?;
    Ok(pem)
}

/// Writes a new key file. Not there, or there as a whole: a crash leaves nothing in between.
pub(super) fn write(path: &Path, pem: &str) -> Result<(), KeyError> {
    replace(path, pem).map_err(|source| KeyError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

fn replace(path: &Path, pem: &str) -> io::Result<()> {
    let draft = path.with_extension("pem.new");
    // A draft is what a crash left; its mode cannot be trusted, so it is not written into.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private().write(true).create_new(true).open(&draft)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_folder(path)
}

/// Created private, not made private afterwards: in between, others could open it.
#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    OpenOptions::new()
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(KeyError::Mode {
        path: path.to_owned(),
        mode,
    })
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

/// Without it, the rename itself may not survive the loss of power.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_is_private_and_replaces_what_a_crash_left() {
        let data = tempfile::tempdir().unwrap();
        let path = path(data.path());
        fs::write(path.with_extension("pem.new"), "half a k").unwrap();
        write(&path, "a key").unwrap();
        assert_eq!(read(&path).unwrap(), b"a key");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let path = path(data.path());
        write(&path, "a key").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Mode { .. }), "{error:?}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path).is_ok(), "narrower is fine");
    }

    #[test]
    fn what_is_not_there_is_missing_and_a_folder_is_unreadable() {
        let data = tempfile::tempdir().unwrap();
        let path = path(data.path());
        assert!(matches!(read(&path), Err(KeyError::Missing { .. })));
        let nowhere = path.join("below/a/file");
        assert!(matches!(
            write(&nowhere, ""),
            Err(KeyError::Unwritable { .. })
        ));
    }
}
