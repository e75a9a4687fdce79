//! What the log says of a request.
//!
//! Alone in its program: a test beside it that does not log may be what first asks whether a line is
//! wanted, and the answer is kept for the whole process.

mod support;

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::body::Body;
use http::Request;
use pm_ratelimit::Quota;
use support::service::Service;
use tracing_subscriber::util::SubscriberInitExt;

#[tokio::test]
async fn the_log_sees_refusals_and_names_their_request() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let _logging = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .set_default();
    let request = |id: &str| {
        let request = Request::get("/nothing").header("x-request-id", id);
        request.body(Body::empty()).expect("a request")
    };
    let service = Service::limited([("client", Quota::per_minute(2))]).await;
    for _ in 0..2 {
        service.send(request("let-in")).await;
    }
    service.send(request("refused-one")).await;

    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).expect("UTF-8");
    let line = lines
        .lines()
        .find(|line| line.contains("status=429"))
        .expect("a line");
    assert!(
        line.contains("refused-one") && line.contains("answered"),
        "{line}"
    );
    assert!(
        !lines.contains("/nothing"),
        "a path is the client's own text"
    );
}
