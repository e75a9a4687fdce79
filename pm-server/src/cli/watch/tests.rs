use std::io;

use super::*;
use crate::client::{Options, Token};

#[tokio::test]
async fn without_a_server_it_says_so_and_ends() {
    let options = WatchOptions {
        server: nobody(),
        since_start: false,
        colour: false,
    };
    let (clock, _time) = Clock::manual();
    let mut out = io::Cursor::new(Vec::new());
    let stop = std::future::pending();
    let error = watch(&options, &clock, &mut out, stop).await.unwrap_err();
    assert!(error.to_string().contains("start one with"), "{error}");
    assert!(out.into_inner().is_empty());
}

#[test]
fn reasons_are_short_the_second_time() {
    let error = client::Error::NotRunning {
        url: String::new(),
        source: io::ErrorKind::ConnectionRefused.into(),
    };
    assert_eq!(why(&error), "no server answers");
    assert_eq!(seconds(Duration::from_millis(1_249)), "1.2 s");
}

/// An address that was free a moment ago.
fn nobody() -> Options {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    Options::new(url, "demo", Token::new("secret"))
}
