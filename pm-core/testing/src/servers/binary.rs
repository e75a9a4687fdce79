use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program of a Debian package, on the `PATH` or in one of the package's folders.
///
/// # Panics
///
/// If it is not there; the message says what to install.
#[track_caller]
pub(crate) fn find(program: &str, package: &str, folders: &[PathBuf]) -> PathBuf {
    let beside = folders.iter().map(|folder| folder.join(program));
    beside
        .chain([PathBuf::from(program)])
        .find(|path| runs(path))
        .unwrap_or_else(|| {
            panic!(
                "`{program}` is not installed: this test needs the Debian package `{package}` \
                 (apt-get install --no-install-recommends {package})"
            )
        })
}

/// Where Debian puts PostgreSQL, the newest version first.
pub(crate) fn postgres_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = Path::new("/usr/lib/postgresql")
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

fn runs(path: &Path) -> bool {
    let version = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match version {
        Ok(status) => status.success(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => panic!("{} cannot be run: {error}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "needs the Debian package `nobodys-server`")]
    fn what_is_missing_is_named_with_its_package() {
        find("nobodys-server-of-this-name", "nobodys-server", &[]);
    }
}
