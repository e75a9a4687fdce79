//! A real server process on a folder of its own.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use pm_core::Clock;
use pm_server::{
    auth,
    client::{Connection, Options, Token},
};
use sqlx::{ConnectOptions, Row, sqlite::SqliteConnectOptions};

/// How often something that happens in another process is looked for, and how long at most.
const POLL: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Server {
    child: Child,
    tenants: String,
    pub folder: tempfile::TempDir,
    pub address: SocketAddr,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with_tenants("demo").await
    }

    /// `tenants` are their names, separated by commas.
    pub async fn start_with_tenants(tenants: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(folder.path(), "127.0.0.1:0", tenants);
        let address = folder.path().join("address");
        let address = until("the server came up", || {
            std::fs::read_to_string(&address).ok()?.trim().parse().ok()
        })
        .await;
        Self {
            child,
            tenants: tenants.to_owned(),
            folder,
            address,
        }
    }

    /// As a loss of power does, but for the page cache.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same folder and the same address.
    pub fn restart(&mut self) {
        self.child = spawn(self.folder.path(), &self.address.to_string(), &self.tenants);
    }

    /// Checks the file of a tenant as it is, without changing it. The server must be down.
    pub async fn check_integrity(&self, tenant: &str) {
        let file = self.folder.path().join(format!("tenants/{tenant}.sqlite"));
        let mut connection = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .connect()
            .await
            .expect("the file opens");
        let row = sqlx::query("PRAGMA integrity_check")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(row.get::<String, _>(0), "ok");
    }

    pub fn options(&self) -> Options {
        self.options_for("demo", self.token("demo"))
    }

    pub fn token(&self, tenant: &str) -> Token {
        auth::local_token(self.folder.path(), tenant, &Clock::system()).unwrap()
    }

    pub fn options_for(&self, tenant: &str, token: Token) -> Options {
        Options::new(self.url(), tenant, token)
    }

    pub fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    /// A connection, once the server is up.
    pub async fn connect(&self) -> Connection {
        connect(&self.options()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection, once the server is up.
pub async fn connect(options: &Options) -> Connection {
    let clock = Clock::system();
    let deadline = clock.now() + PATIENCE;
    loop {
        match Connection::open(options, &clock).await {
            Ok(connection) => return connection,
            Err(error) => assert!(clock.now() < deadline, "no server came up: {error}"),
        }
        clock.sleep_until(clock.now() + POLL).await;
    }
}

/// Waits for something that happens in another process.
pub async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let clock = Clock::system();
    let deadline = clock.now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(clock.now() < deadline, "never: {what}");
        clock.sleep_until(clock.now() + POLL).await;
    }
}

fn spawn(data: &Path, listen: &str, tenants: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pm-server"))
        .arg("serve")
        .arg("--data")
        .arg(data)
        .args(["--listen", listen, "--tenants", tenants, "--log", "error"])
        // This machine is one client address, and it comes often.
        .args(["--connections", "100000", "--quotas"])
        .arg("client=100000/second,upgrade=100000/second")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
