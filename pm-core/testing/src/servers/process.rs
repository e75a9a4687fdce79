use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// A server's process, ended on drop.
#[derive(Debug)]
pub(crate) struct Process {
    server: Child,
    /// What ends it for good, paused or not.
    end: Signal,
    /// Ends the server when this process ends without having dropped it, as one does that is
    /// killed itself: its standard input, which only we hold, is closed then.
    watchdog: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, with its output in the file `log`. On drop it gets the signal `end`.
    pub(crate) fn start(command: &mut Command, log: &Path, end: Signal) -> io::Result<Self> {
        let output = fs::File::options().create(true).append(true).open(log)?;
        let server = command
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .spawn()?;
        let watchdog = Command::new("sh")
            .args(["-c", "read _; kill -$1 $0"])
            .args([server.id().to_string(), end.as_raw().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not to be taken along by what ends the tests.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            server,
            end,
            watchdog,
            log: log.to_owned(),
        })
    }

    /// Freezes it; when this returns, it does nothing any more.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let stopped = waitpid(Some(self.pid()), WaitOptions::UNTRACED);
        let stopped = stopped.expect("it is our child");
        assert!(
            stopped.is_some_and(|(_, status)| status.stopped()),
            "the server has ended: {}",
            self.log()
        );
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.server.try_wait(), Ok(None))
    }

    /// What it has written so far, for the message of a test that fails.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it is our child");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.server)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: once the server is gone its number may become somebody else's.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        // One that has ended by itself has given up its number.
        if !self.has_ended() {
            let _ = kill_process(self.pid(), self.end);
            let _ = self.server.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::super::wait;
    use super::*;

    #[test]
    fn a_server_does_not_outlive_a_test_that_was_killed() {
        let folder = TempDir::new().expect("a temporary folder");
        let (mut command, log) = (Command::new("sleep"), folder.path().join("log"));
        let sleeps = Process::start(command.arg("1000"), &log, Signal::KILL);
        let mut sleeps = sleeps.expect("every system has it");
        sleeps.pause();
        assert!(!sleeps.has_ended());
        // What the system does with what a dead process had open.
        drop(sleeps.watchdog.stdin.take());
        wait::until(Duration::from_secs(10), "the end of the server", || {
            sleeps.has_ended().then_some(())
        });
    }
}
