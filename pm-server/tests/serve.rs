//! The program, as a process: what it says and how it ends.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{BufRead, Read, Write},
    net::{IpAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use pm_core::{Cidr, Clock};
use pm_ratelimit::{ViolationStore, guard::SqliteStore};
use support::process::{Server, pm_server, private_folder, text};

/// What a start that must fail says on stderr: one line, and nothing on stdout.
fn complaint(arguments: &[&str]) -> String {
    let output = pm_server(arguments).output().expect("it runs");
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.starts_with("pm-server: "), "{complaint}");
    complaint
}

#[test]
fn the_first_start_makes_what_it_needs_and_says_so() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    let server = Server::start(&data, &["--tenants", "demo,acme"]);
    let made = "(new: the folder, a signing key, tenant demo, tenant acme)";
    assert!(server.greeting.contains(made), "{}", server.greeting);
    assert!(
        server.greeting.contains("pm-server watch --data"),
        "{}",
        server.greeting
    );
    assert!(!server.address.ends_with(":0"));
    assert!(server.get("/health/ready").starts_with("HTTP/1.1 200"));
    let announced = fs::read_to_string(data.join("address")).unwrap();
    assert_eq!(announced.trim(), server.address);
    drop(server);

    let again = Server::start(&data, &[]);
    assert!(!again.greeting.contains("new"), "{}", again.greeting);
}

#[test]
fn a_token_of_the_folder_opens_its_tenant() {
    let data = private_folder();
    let missing = complaint(&["token", "--data", text(data.path()), "--subject", "ada"]);
    assert!(
        missing.contains("start pm-server with this data folder first"),
        "{missing}"
    );

    let server = Server::start(data.path(), &[]);
    let output = pm_server(&["token", "--data", text(data.path()), "--subject", "ada"])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let token = String::from_utf8(output.stdout).unwrap();
    let token = token.strip_suffix('\n').expect("one line");
    let path = "/api/v1/work-items/0198c6a0-5a3e-7c1a-9d51-6f4d2b8e7a90";
    assert!(server.get(path).starts_with("HTTP/1.1 401"));
    let with_token = format!("{path} HTTP/1.1\r\nauthorization: Bearer {token}\r\nx:");
    assert!(server.get(&with_token).starts_with("HTTP/1.1 404"));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let data = private_folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let complaint = complaint(&["--data", text(data.path()), "--listen", &address]);
    assert!(
        complaint.contains(&address) && complaint.contains("in use"),
        "{complaint}"
    );
    assert!(complaint.contains("--listen"), "{complaint}");
}

#[test]
fn a_data_folder_that_cannot_be_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("file");
    fs::write(&file, "").unwrap();
    let below = file.join("data");
    let complaint = complaint(&["--data", text(&below), "--listen", "127.0.0.1:0"]);
    assert!(
        complaint.contains("cannot write to the data folder"),
        "{complaint}"
    );
    assert!(
        complaint.contains(text(&below)) && complaint.contains("--data"),
        "{complaint}"
    );
}

#[test]
fn a_data_folder_has_one_server() {
    let data = private_folder();
    let server = Server::start(data.path(), &[]);
    let complaint = complaint(&["--data", text(data.path()), "--listen", "127.0.0.1:0"]);
    assert!(complaint.contains("another pm-server uses"), "{complaint}");
    assert!(server.get("/health/live").starts_with("HTTP/1.1 200"));
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let data = private_folder();
    drop(Server::start(data.path(), &[]));
    let key = data.path().join("signing-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let complaint = complaint(&["--data", text(data.path()), "--listen", "127.0.0.1:0"]);
    assert!(
        complaint.contains("mode 0644") && complaint.contains("chmod 600"),
        "{complaint}"
    );
}

#[cfg(unix)]
#[test]
fn a_data_folder_that_others_may_look_into_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let data = private_folder();
    for (mode, warned) in [(0o755, true), (0o700, false)] {
        fs::set_permissions(data.path(), fs::Permissions::from_mode(mode)).unwrap();
        let mut server = Server::start(data.path(), &["--drain-delay", "0s"]);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let mut log = String::new();
        server.log.read_to_string(&mut log).unwrap();
        let said = log.contains("WARN") && log.contains("mode 0755") && log.contains("chmod 700");
        assert_eq!(said, warned, "{log}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_in_order() {
    for name in ["TERM", "INT"] {
        let data = private_folder();
        let mut server = Server::start(data.path(), &["--drain-delay", "0s"]);
        assert!(server.get("/health/ready").starts_with("HTTP/1.1 200"));
        server.signal(name);
        assert_eq!(server.wait().code(), Some(0));
        assert!(!data.path().join("address").exists());
        let mut log = String::new();
        server.log.read_to_string(&mut log).unwrap();
        assert!(
            log.contains("asked to stop") && !log.contains("WARN"),
            "{log}"
        );
        let summaries = log.lines().filter(|line| line.contains("shut down"));
        let summaries: Vec<_> = summaries.collect();
        let [summary] = &summaries[..] else {
            panic!("not one line: {log}");
        };
        for part in ["ended=\"empty\"", "cut=0", "hooks_failed=0", "took="] {
            assert!(summary.contains(part), "{summary}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_it_at_once() {
    let data = private_folder();
    let long = ["--drain-delay", "1h", "--shutdown-budget", "2h"];
    let mut server = Server::start(data.path(), &long);
    server.signal("TERM");
    server.says("asked to stop");
    assert!(server.get("/health/ready").starts_with("HTTP/1.1 503"));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(130));
    server.says("ended=\"forced\"");
    assert!(!data.path().join("address").exists());
}

/// The head of a request, but for its end.
fn half_a_request(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n").expect("sent");
    stream
}

/// Sends the end of it, and waits for the answer and the end of the connection.
fn rest(mut stream: TcpStream) -> String {
    stream.write_all(b"\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[cfg(unix)]
#[test]
fn ready_says_no_at_once_and_what_is_under_way_finishes() {
    let data = private_folder();
    let clock = Clock::system();
    let mut server = Server::start(data.path(), &["--drain-delay", "500ms"]);
    let under_way = half_a_request(&server, "/nothing");
    server.signal("TERM");
    let signalled = clock.now();
    while !server.get("/health/ready").starts_with("HTTP/1.1 503") {}
    let took = clock.now().saturating_duration_since(signalled);
    // 50 ms, on a machine that has nothing else to do.
    assert!(took < Duration::from_millis(400), "{took:?}");
    assert!(server.get("/health/live").starts_with("HTTP/1.1 200"));
    assert!(server.get("/nothing").starts_with("HTTP/1.1 404"));
    server.says("clients are asked to leave");
    assert!(TcpStream::connect(&server.address).is_err());
    assert!(rest(under_way).starts_with("HTTP/1.1 404"));
    assert_eq!(server.wait().code(), Some(0));
    server.says("ended=\"empty\"");
}

#[cfg(unix)]
#[test]
fn a_client_that_hangs_is_cut_off_when_time_is_up() {
    let data = private_folder();
    let clock = Clock::system();
    let short = ["--drain-delay", "0s", "--shutdown-budget", "2s"];
    let mut server = Server::start(data.path(), &short);
    let _hangs = half_a_request(&server, "/nothing");
    // It has been accepted, since this one has.
    assert!(server.get("/health/live").starts_with("HTTP/1.1 200"));
    server.signal("TERM");
    let signalled = clock.now();
    assert_eq!(server.wait().code(), Some(0));
    let took = clock.now().saturating_duration_since(signalled);
    assert!(took < Duration::from_secs(4), "{took:?}");
    let summary = server.says("shut down");
    for part in ["ended=\"cut\"", " cut=1 ", "hooks_failed=0"] {
        assert!(summary.contains(part), "{summary}");
    }
}

#[test]
fn a_shutdown_that_does_not_fit_is_named_before_anything_is_made() {
    let folder = private_folder();
    let data = folder.path().join("data");
    let complaint = complaint(&["--data", text(&data), "--drain-delay", "30s"]);
    for part in ["--drain-delay", "--shutdown-budget", "30s"] {
        assert!(complaint.contains(part), "{complaint}");
    }
    assert!(!data.exists());
}

#[test]
fn a_setting_that_is_wrong_is_named_wherever_it_comes_from() {
    for (flag, variable) in [
        ("--listen", "PM_SERVER_LISTEN"),
        ("--quotas", "PM_SERVER_QUOTAS"),
    ] {
        for command in [pm_server(&[flag, "nonsense"]), {
            let mut command = pm_server(&[]);
            command.env(variable, "nonsense");
            command
        }] {
            let mut command = command;
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            let complaint = String::from_utf8(output.stderr).unwrap();
            assert!(
                complaint.contains(flag) && complaint.contains("nonsense"),
                "{complaint}"
            );
        }
    }
}

#[test]
fn limits_that_are_wrong_are_named_before_anything_is_made() {
    let folder = private_folder();
    let (file, data) = (
        folder.path().join("limits.json"),
        folder.path().join("data"),
    );
    fs::write(&file, r#"{"user": {"by": "user", "quota": "many"}}"#).unwrap();
    let output = pm_server(&["--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"])
        .env("PM_SERVER_LIMITS", &file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    for part in [file.to_str().unwrap(), "\"user\"", "`quota`", "300/minute"] {
        assert!(complaint.contains(part), "{complaint}");
    }
    assert!(!data.exists());
}

#[cfg(unix)]
#[test]
fn the_file_with_limits_is_read_again_when_it_is_asked_to() {
    let folder = private_folder();
    let file = folder.path().join("limits.json");
    let client = |quota: u32| {
        let text = format!(r#"{{"client": {{"by": "client", "quota": "{quota}/minute"}}}}"#);
        fs::write(&file, text).unwrap();
    };
    client(1001);
    let data = folder.path().join("data");
    let mut server = Server::start(&data, &["--limits", file.to_str().unwrap()]);
    let limit = |server: &Server, quota: u32| {
        let policy = format!("ratelimit-policy: \"client\";q={quota};w=60");
        server.get("/nothing").contains(&policy)
    };
    let line = |server: &mut Server| {
        let mut line = String::new();
        let read = server.log.read_line(&mut line).unwrap();
        assert!(read > 0, "the log has ended");
        line
    };
    assert!(limit(&server, 1001));

    client(1002);
    server.signal("HUP");
    while !line(&mut server).contains("other rate limit rules are in force") {}
    assert!(limit(&server, 1002));

    fs::write(
        &file,
        r#"{"client": {"by": "nobody", "quota": "1/minute"}}"#,
    )
    .unwrap();
    server.signal("HUP");
    let mut said = line(&mut server);
    while !said.contains("the limits stay as they were") {
        said = line(&mut server);
    }
    assert!(
        said.contains("limits.json: rule") && said.contains("field `by`"),
        "{said}"
    );
    assert!(limit(&server, 1002));
}

#[test]
fn a_variable_does_not_stand_in_the_way_of_a_command() {
    let data = private_folder();
    let _server = Server::start(data.path(), &[]);
    let output = pm_server(&["token", "--subject", "ada"])
        .env("PM_SERVER_DATA", data.path())
        .env("PM_SERVER_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// As [`Server::get`], from behind a proxy that says where it comes from.
fn status_of(server: &Server, client: &str) -> String {
    let path = format!("/nothing HTTP/1.1\r\nx-forwarded-for: {client}\r\nx:");
    let answer = server.get(&path);
    answer[9..12].to_owned()
}

#[test]
fn who_is_refused_too_often_is_blocked_and_stays_so_after_a_restart() {
    let data = private_folder();
    let few = ["--quotas", "client=1/day", "--drain-delay", "0s"];
    let mut server = Server::start(data.path(), &few);
    // What a stranger says of others gets nobody blocked but itself.
    let said: Vec<_> = (0..53)
        .map(|claim| status_of(&server, &format!("203.0.113.{claim}")))
        .collect();
    assert_eq!(said[0], "404");
    assert!(said[1..51].iter().all(|status| status == "429"), "{said:?}");
    assert_eq!(said[51..], ["403", "403"]);
    assert!(server.get("/health/ready").starts_with("HTTP/1.1 200"));
    let line = server.says("blocked for its violations");
    assert!(line.contains("127.0.0.1/32"), "{line}");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    drop(server);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let recorded = runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(data.path().join("guard.sqlite")).await?);
        let here = Cidr::from(IpAddr::from([127, 0, 0, 1]));
        store.recent(here, 100, Clock::system().wall_micros()).await
    });
    assert_eq!(
        recorded.unwrap().len(),
        50,
        "what was refused before the end"
    );

    let proxied = [&few[..], &["--trusted-proxies", "127.0.0.1"]].concat();
    let mut server = Server::start(data.path(), &proxied);
    // It is a proxy now, which is never blocked; who it speaks for was not.
    assert_eq!(status_of(&server, "203.0.113.1"), "404");
    assert_eq!(server.get("/nothing")[9..12], *"404");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    drop(server);

    let server = Server::start(data.path(), &few);
    assert_eq!(status_of(&server, "203.0.113.1"), "403");
    drop(server);
    let off = ["--never-block", "127.0.0.0/8", "--auto-block", "off"];
    let server = Server::start(data.path(), &off);
    assert_eq!(status_of(&server, "203.0.113.1"), "404");
}

#[test]
fn a_file_of_blocks_that_is_damaged_is_named() {
    let data = private_folder();
    fs::write(data.path().join("guard.sqlite"), [7; 4096]).unwrap();
    let complaint = complaint(&["--data", text(data.path()), "--listen", "127.0.0.1:0"]);
    assert!(
        complaint.contains("guard.sqlite") && complaint.contains("move the file away"),
        "{complaint}"
    );
}
