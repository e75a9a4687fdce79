use super::*;
use crate::client::{Options, Token};

fn options() -> ImportOptions {
    ImportOptions {
        server: nobody(),
        project: None,
        bar: false,
    }
}

async fn failure(bytes: &[u8]) -> String {
    let (clock, _time) = Clock::manual();
    let mut out = Vec::new();
    let imported = import(&options(), &clock, bytes, "a\u{1b}.md", &mut out).await;
    assert!(out.is_empty());
    imported.unwrap_err().to_string()
}

#[tokio::test]
async fn what_is_no_plan_is_said_before_anything_is_sent() {
    for (bytes, said) in [
        (b"".as_slice(), "the plan is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0".as_slice(), "not a Markdown file"),
        (b"just text".as_slice(), "the plan has no checkbox"),
    ] {
        let error = failure(bytes).await;
        assert!(error.starts_with("a\\u{1b}.md: "), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn without_a_server_it_says_so_and_ends() {
    let error = failure(b"- [ ] story\n").await;
    assert!(error.contains("start one with"), "{error}");
}

#[test]
fn a_missing_file_and_a_folder_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none.md"), folder.path().to_owned()] {
        let error = read(&path).unwrap_err();
        assert!(matches!(error, Error::File { .. }));
        assert!(error.to_string().starts_with("cannot read "), "{error}");
    }
}

/// An address that was free a moment ago.
fn nobody() -> Options {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    Options::new(url, "demo", Token::new("secret"))
}
