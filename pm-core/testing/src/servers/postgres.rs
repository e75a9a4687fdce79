use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

use super::port::Port;
use super::process::Process;
use super::{binary, wait};

const START: Duration = Duration::from_secs(60);

/// A PostgreSQL server with an empty database. What it writes survives its process, not its
/// machine.
///
/// It refuses to be run by root; then it is run by `postgres`, or by `nobody` where that user is
/// not known.
#[derive(Debug)]
pub struct PostgresServer {
    port: Port,
    _process: Process,
    /// Behind the process, which is to be gone when this is removed.
    _folder: TempDir,
}

impl PostgresServer {
    /// Starts one and waits until it takes connections: a second or two.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let folders = binary::postgres_folders();
        let find = |program| binary::find(program, "postgresql", &folders);
        let (initdb, postgres) = (find("initdb"), find("postgres"));
        let user = geteuid().is_root().then(User::unprivileged);

        let folder = TempDir::with_prefix("pm-postgres-").expect("a temporary folder");
        if let Some(user) = &user {
            chown(folder.path(), Some(user.id), Some(user.group)).expect("root may give away");
        }
        let data = folder.path().join("data");
        initialize(&mut command(&initdb, user.as_ref(), folder.path()), &data);

        let port = Port::claim();
        let mut server = command(&postgres, user.as_ref(), folder.path());
        server.arg("-D").arg(&data).args([
            "-p",
            &port.number().to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        let log = folder.path().join("postgres.log");
        // Its immediate shutdown: unlike a kill it leaves no shared memory behind.
        let process = Process::start(&mut server, &log, Signal::QUIT);
        let mut process = process.expect("postgres can be run");
        wait::until(START, "a start of postgres", || {
            assert!(!process.has_ended(), "postgres: {}", process.log());
            // Its eighth line is the state: what pg_ctl looks at, too.
            let state = fs::read_to_string(data.join("postmaster.pid")).ok()?;
            let state = state.lines().nth(7)?;
            state.trim().eq("ready").then_some(())
        });
        Self {
            port,
            _process: process,
            _folder: folder,
        }
    }

    /// Its address, for a client: the user and the database `postgres`, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port())
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

fn initialize(initdb: &mut Command, data: &Path) {
    let output = initdb
        .arg("-D")
        .arg(data)
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
        .args(["--locale=C", "--no-sync"])
        .stdin(Stdio::null())
        .output()
        .expect("initdb can be run");
    assert!(
        output.status.success(),
        "initdb: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn command(program: &PathBuf, user: Option<&User>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder);
    if let Some(user) = user {
        command.uid(user.id).gid(user.group);
    }
    command
}

/// Somebody who may not do much.
struct User {
    id: u32,
    group: u32,
}

impl User {
    fn unprivileged() -> Self {
        let users = fs::read_to_string("/etc/passwd").expect("a system has users");
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::named(name, &users))
            .expect("there is a user `postgres` or `nobody`")
    }

    /// name:password:id:group:…
    fn named(name: &str, users: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let matches = fields.next()? == name;
            let (id, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            matches.then_some(Self { id, group })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[test]
    fn it_takes_connections_until_it_is_dropped() {
        let server = PostgresServer::start();
        let address = (Ipv4Addr::LOCALHOST, server.port());
        assert!(server.url().contains(&server.port().to_string()));
        assert!(TcpStream::connect(address).is_ok());
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
