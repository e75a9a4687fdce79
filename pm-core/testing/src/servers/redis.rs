use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::port::Port;
use super::process::Process;
use super::resp::{self, Answer};
use super::{binary, wait};

const START: Duration = Duration::from_secs(20);

/// A Redis server, empty, that writes nothing to disk.
#[derive(Debug)]
pub struct RedisServer {
    port: Port,
    folder: TempDir,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    ///
    /// If Redis is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with([])
    }

    /// Starts one with more settings, as `redis-server` takes them on its command line.
    ///
    /// # Panics
    ///
    /// If Redis is not installed, or does not start.
    #[must_use]
    pub fn start_with<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut server = Self {
            port: Port::claim(),
            folder: TempDir::with_prefix("pm-redis-").expect("a temporary folder"),
            arguments: arguments.into_iter().map(ToOwned::to_owned).collect(),
            process: None,
        };
        server.restart();
        server
    }

    /// Its address, for a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port())
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Freezes the process: connections stay, and new ones are made by the kernel, but nothing is
    /// answered. What is sent meanwhile is carried out after [`resume`](Self::resume).
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Lets it go on after [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn resume(&self) {
        self.running().resume();
    }

    /// Kills the process, as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again, killed or not, on the same port and without the data and scripts that it
    /// had. Waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        self.kill();
        let redis = binary::find("redis-server", "redis-server", &[]);
        let mut command = Command::new(redis);
        command
            .current_dir(self.folder.path())
            .args(["--bind", "127.0.0.1", "--port", &self.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(&self.arguments);
        let log = self.folder.path().join("redis.log");
        let process = Process::start(&mut command, &log, Signal::KILL);
        let mut process = process.expect("redis-server can be run");
        wait::until(START, "a start of redis-server", || {
            assert!(!process.has_ended(), "redis-server: {}", process.log());
            match resp::ask(self.port(), &["PING"]) {
                Ok(Answer::Text(_)) => Some(()),
                Ok(Answer::Error(error)) if error.starts_with("NOAUTH") => Some(()),
                _ => None,
            }
        });
        self.process = Some(process);
    }

    /// Asks it something, on a connection of its own; a list is answered line by line.
    ///
    /// # Panics
    ///
    /// If it does not answer, or with an error.
    #[must_use]
    pub fn ask(&self, question: &[&str]) -> String {
        match self.answer(question) {
            Answer::Error(error) => panic!("{question:?}: {error}"),
            answer => answer.to_string(),
        }
    }

    /// How often it has carried out a command, by its name in lower case, since it was started.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let stats = self.ask(&["INFO", "commandstats"]);
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| {
            let calls = line.split(',').next().unwrap_or(line);
            calls.parse().expect("a number of calls")
        })
    }

    pub(super) fn answer(&self, question: &[&str]) -> Answer {
        resp::ask(self.port(), question).unwrap_or_else(|error| panic!("{question:?}: {error}"))
    }

    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("the server was killed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_paused_killed_and_back_on_the_same_port() {
        let mut server = RedisServer::start();
        assert_eq!(server.ask(&["SET", "key", "1"]), "OK");
        assert_eq!(server.calls("set"), 1);
        assert_eq!(server.calls("get"), 0);

        server.pause();
        server.resume();
        assert_eq!(server.ask(&["GET", "key"]), "1");

        let port = server.port();
        server.kill();
        assert!(resp::ask(port, &["PING"]).is_err());
        server.restart();
        assert_eq!(server.port(), port);
        assert_eq!(server.ask(&["EXISTS", "key"]), "0");
        drop(server);
        assert!(resp::ask(port, &["PING"]).is_err());
    }

    #[test]
    #[should_panic(expected = "not-a-setting")]
    fn one_that_does_not_start_says_why() {
        let _ = RedisServer::start_with(["--not-a-setting", "1"]);
    }
}
