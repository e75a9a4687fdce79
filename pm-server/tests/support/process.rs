//! The program as a process, as whoever starts it sees it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
};

use serde_json::Value;

/// A server that has said where it listens. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    process: Child,
    pub greeting: String,
    pub address: String,
    pub log: BufReader<ChildStderr>,
}

pub fn pm_server(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pm-server"));
    command.args(arguments).stdin(Stdio::null());
    command
}

impl Server {
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut process = pm_server(&["serve", "--listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(process.stdout.take().expect("piped"));
        let log = BufReader::new(process.stderr.take().expect("piped"));
        let mut greeting = String::new();
        while !greeting.contains("--subject") {
            let read = out.read_line(&mut greeting).expect("text");
            assert_ne!(read, 0, "it ended: {greeting}");
        }
        let address = greeting.split("http://").nth(1).expect("an address");
        let address = address.lines().next().expect("a line").to_owned();
        Self {
            process,
            greeting,
            address,
            log,
        }
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    }

    /// Sends JSON, with a token; the status and the answer.
    pub fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head[9..12].parse().expect("a status");
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .expect("a shell")
                .success()
        );
    }

    /// Reads the log up to the line that says so.
    pub fn says(&mut self, words: &str) -> String {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let read = self.log.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "it never said {words:?}");
        }
        line
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("it ends")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nothing to warn of: a temporary folder is made with whatever mode the umask leaves.
pub fn private_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("its owner");
    }
    folder
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
