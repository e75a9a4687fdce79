//! What an operator of a real server does: with a token from the command line, over restarts, and beside
//! a file of limits.
#![cfg(unix)]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{fs, io::BufRead, path::Path, time::Duration};

use pm_core::Clock;
use pm_server::client::{Connection, Incoming, Options, Token};
use serde_json::json;
use support::{
    edits::mutation,
    peer::id,
    process::{Server, pm_server, private_folder, text},
    schema,
};

/// What `pm-server token` prints.
fn token(data: &Path, arguments: &[&str]) -> String {
    let all = [
        &["token", "--data", text(data), "--subject", "grace"],
        arguments,
    ]
    .concat();
    let output = pm_server(&all).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn stop(mut server: Server) {
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// The status of a request of somebody in the tenant.
fn status(server: &Server, token: &str) -> u16 {
    let path = "/api/v1/work-items/0198c6a0-5a3e-7c1a-9d51-6f4d2b8e7a90";
    server.ask(token, "GET", path, "").0
}

#[test]
fn what_an_operator_says_counts_within_a_second_and_after_a_restart() {
    let data = private_folder();
    let quick = ["--drain-delay", "0s"];
    let server = Server::start(data.path(), &quick);
    let operator = token(data.path(), &["--operator", "--expires", "1h"]);
    let member = token(data.path(), &["--role", "admin"]);
    let rule = r#"{"on": "/api/{*path}", "by": "user", "quota": "3/day"}"#;
    let rules = "/admin/limits/rules/api";
    assert_eq!(server.ask(&member, "PUT", rules, rule).0, 403);
    assert_eq!(status(&server, &operator), 403);

    let clock = Clock::system();
    let begun = clock.now();
    assert_eq!(server.ask(&operator, "PUT", rules, rule).0, 201);
    let statuses = [0; 4].map(|_| status(&server, &member));
    assert_eq!(statuses, [404, 404, 404, 429]);
    let took = clock.now().saturating_duration_since(begun);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let own = "/admin/limits/users/grace/quotas/frames?tenant=demo";
    let quota = r#"{"quota": "2/day"}"#;
    assert_eq!(server.ask(&operator, "PUT", own, quota).0, 200);
    let emergency = r#"{"profile": "reduced", "lasting_seconds": 3600}"#;
    let answered = server.ask(&operator, "PUT", "/admin/limits/emergency", emergency);
    assert_eq!(answered.0, 200);
    stop(server);

    // What was used up is forgotten with the process, and so is an emergency.
    let server = Server::start(data.path(), &quick);
    let statuses = [0; 4].map(|_| status(&server, &member));
    assert_eq!(statuses, [404, 404, 404, 429]);
    let (_, found) = server.ask(&operator, "GET", rules, "");
    assert_eq!(
        (&found["origin"], &found["version"]),
        (&json!("stored"), &json!(1))
    );
    let (_, found) = server.ask(&operator, "GET", "/admin/limits/emergency", "");
    assert_eq!(found["in_force"], json!(null));
    // Nobody has asked for the quota yet, so that the first frame waits for it.
    let url = format!("ws://{}/ws", server.address);
    assert_eq!(refused(&url, &member), 1);
    assert_eq!(server.ask(&operator, "DELETE", own, "").0, 204);
    assert_eq!(refused(&url, &member), 0);
    stop(server);
}

/// How many of two changes on a socket are refused.
fn refused(url: &str, token: &str) -> usize {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = Options::new(url.to_owned(), "demo", Token::new(token));
        let mut connection = Connection::open(&options, &Clock::system()).await.unwrap();
        for number in [1, 2] {
            let create = pm_server::domain::Operation::CreateProject {
                id: id(number),
                name: "Roadmap".to_owned(),
            };
            let create = schema::mutate(&mutation(id(10 + number), 0, create));
            connection.mutate(create).unwrap();
        }
        let (mut answered, mut refused) = (0, 0);
        while answered < 2 {
            if let Incoming::Answered { answer, .. } = connection.next().await.unwrap() {
                answered += 1;
                refused += usize::from(answer.is_err());
            }
        }
        refused
    })
}

#[test]
fn a_file_of_limits_is_read_again_under_what_is_stored_or_not_at_all() {
    let folder = private_folder();
    let file = folder.path().join("limits.json");
    let write = |client: u32, user: &str| {
        let text = format!(
            r#"{{"client": {{"by": "client", "quota": "{client}/minute"}}, "user": {{"by": "user", "quota": "{user}"}}}}"#
        );
        fs::write(&file, text).unwrap();
    };
    write(1001, "1/day");
    let data = folder.path().join("data");
    let mut server = Server::start(&data, &["--limits", text(&file)]);
    let operator = token(&data, &["--operator"]);
    let stored = r#"{"by": "user", "quota": "7/day"}"#;
    let user = "/admin/limits/rules/user";
    assert_eq!(server.ask(&operator, "PUT", user, stored).0, 201);
    let quotas = |server: &Server| {
        ["client", "user"].map(|name| {
            let path = format!("/admin/limits/rules/{name}");
            let (_, rule) = server.ask(&operator, "GET", &path, "");
            rule["rule"]["quota"].as_str().unwrap().to_owned()
        })
    };
    assert_eq!(quotas(&server), ["1001/minute", "7/day"]);

    write(1002, "2/day");
    server.signal("HUP");
    in_the_end(&mut server, |server| {
        quotas(server) == ["1002/minute", "7/day"]
    });
    write(1003, "many");
    server.signal("HUP");
    let said = server.says("the limits stay as they were");
    assert!(
        said.contains("limits.json") && said.contains("`quota`"),
        "{said}"
    );
    assert_eq!(quotas(&server), ["1002/minute", "7/day"]);
    assert_eq!(server.ask(&operator, "DELETE", user, "").0, 204);
    assert_eq!(quotas(&server), ["1002/minute", "2/day"]);
}

/// Each line of the log is one more look.
fn in_the_end(server: &mut Server, is_so: impl Fn(&Server) -> bool) {
    while !is_so(server) {
        let mut line = String::new();
        assert_ne!(
            server.log.read_line(&mut line).unwrap(),
            0,
            "the log has ended"
        );
    }
}
