use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
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
/// A killed one loses nothing that it has committed.
///
/// It refuses to be run by root; then it is run by `postgres`, or by `nobody` where that user is
/// not known.
#[derive(Debug)]
pub struct PostgresServer {
    port: Port,
    process: Option<Process>,
    /// Behind the process, which is to be gone when this is removed.
    folder: TempDir,
}

impl PostgresServer {
    /// Starts one and waits until it takes connections: a second or two.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("pm-postgres-").expect("a temporary folder");
        if let Some(user) = User::of_servers() {
            chown(folder.path(), Some(user.id), Some(user.group)).expect("root may give away");
        }
        let mut server = Self {
            port: Port::claim(),
            process: None,
            folder,
        };
        let mut initdb = server.command("initdb");
        initialize(initdb.arg("-D").arg(server.data()));
        server.restart();
        server
    }

    /// Ends the process at once, as a crash would: connections break, and nothing is finished.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, killed or not, on the same port and with the data that it had. Waits until it
    /// takes connections.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args([
            "-p",
            &self.port().to_string(),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        let (log, pid) = (
            self.folder.path().join("postgres.log"),
            self.data().join("postmaster.pid"),
        );
        // What one that was killed has left behind says that it is ready.
        let _ = fs::remove_file(&pid);
        // Its immediate shutdown: unlike a kill it leaves no shared memory behind, and like one it
        // finishes nothing.
        let process = Process::start(&mut command, &log, Signal::QUIT);
        let mut process = process.expect("postgres can be run");
        wait::until(START, "a start of postgres", || {
            assert!(!process.has_ended(), "postgres: {}", process.log());
            // Its eighth line is the state: what pg_ctl looks at, too.
            let state = fs::read_to_string(&pid).ok()?;
            let state = state.lines().nth(7)?;
            state.trim().eq("ready").then_some(())
        });
        self.process = Some(process);
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

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of its programs, in its folder and by somebody who may run it.
    fn command(&self, program: &str) -> Command {
        let folders = binary::postgres_folders();
        let mut command = Command::new(binary::find(program, "postgresql", &folders));
        command.current_dir(self.folder.path());
        if let Some(user) = User::of_servers() {
            command.uid(user.id).gid(user.group);
        }
        command
    }
}

fn initialize(initdb: &mut Command) {
    let output = initdb
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

/// Somebody who may not do much.
struct User {
    id: u32,
    group: u32,
}

impl User {
    /// `None` if it is whoever runs the tests.
    fn of_servers() -> Option<Self> {
        geteuid().is_root().then(Self::unprivileged)
    }

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
    fn it_takes_connections_until_it_is_killed_and_again_when_it_is_restarted() {
        let mut server = PostgresServer::start();
        let address = (Ipv4Addr::LOCALHOST, server.port());
        assert!(server.url().contains(&server.port().to_string()));
        assert!(TcpStream::connect(address).is_ok());
        server.kill();
        assert!(TcpStream::connect(address).is_err());
        server.restart();
        assert!(TcpStream::connect(address).is_ok());
        drop(server);
        assert!(TcpStream::connect(address).is_err());
    }
}
