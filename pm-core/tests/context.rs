//! What `ContextLayer` does to a request, its answer, its logs and its problems.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pm_core::{Clock, Context, ContextLayer, Problem};
use pm_testing::Log;
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::Level;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn layer() -> ContextLayer {
    ContextLayer::new(Clock::manual().0)
}

#[tokio::test]
async fn p001_6_correlation_propagation() {
    let service = layer().layer(service_fn(async |request: Request<()>| {
        let context = Context::current().expect("a current context");
        assert_eq!(request.extensions().get::<Context>(), Some(&context));
        tokio::task::yield_now().await;
        assert_eq!(
            Context::current(),
            Some(context.clone()),
            "after a wait too"
        );

        let mut outgoing = http::HeaderMap::new();
        context.propagate(&mut outgoing);
        assert_eq!(outgoing["x-request-id"], "abc");
        assert_eq!(outgoing["traceparent"], TRACE);

        #[cfg(feature = "tokio")]
        {
            let job = pm_core::context::spawn(async { Context::current() });
            assert_eq!(job.await.expect("the job ends"), Some(context));
        }
        Ok::<_, Infallible>(Problem::new(StatusCode::NOT_FOUND).into_response::<Bytes>())
    }));
    let request = Request::get("/")
        .header("x-request-id", "abc")
        .header("traceparent", TRACE)
        .body(())
        .expect("a valid request");
    let response = service.oneshot(request).await.expect("infallible");
    assert_eq!(response.headers()["x-request-id"], "abc");
    let problem: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(problem["request_id"], "abc");
    assert_eq!(Context::current(), None);
}

#[tokio::test]
async fn an_unacceptable_id_is_replaced_and_an_invalid_trace_dropped() {
    let service = layer().layer(service_fn(async |_: Request<()>| {
        let context = Context::current().expect("a current context");
        assert_eq!(context.traceparent(), None);
        Ok::<_, Infallible>(Response::new(context.request_id().to_string()))
    }));
    let request = Request::get("/")
        .header("x-request-id", "<script>")
        .header("traceparent", "00-0-0-00")
        .body(())
        .expect("a valid request");
    let response = service.oneshot(request).await.expect("infallible");
    assert_eq!(response.body().len(), 36, "a UUID");
    assert_eq!(response.headers()["x-request-id"], response.body().as_str());
}

#[tokio::test]
async fn the_answers_own_id_gives_way() {
    let service = layer().layer(service_fn(async |_: Request<()>| {
        let response = Response::builder()
            .header("x-request-id", "upstream")
            .body(());
        Ok::<_, Infallible>(response.expect("a valid response"))
    }));
    let request = Request::get("/")
        .header("x-request-id", "ours")
        .body(())
        .expect("valid");
    let response = service.oneshot(request).await.expect("infallible");
    let ids: Vec<_> = response.headers().get_all("x-request-id").iter().collect();
    assert_eq!(ids, ["ours"]);
}

#[tokio::test]
async fn a_problem_made_before_the_first_poll_has_the_id() {
    #[derive(Clone)]
    struct RefusesInCall;

    impl Service<Request<()>> for RefusesInCall {
        type Response = Response<Bytes>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            std::future::ready(Ok(
                Problem::new(StatusCode::TOO_MANY_REQUESTS).into_response()
            ))
        }
    }

    let request = Request::get("/")
        .header("x-request-id", "early")
        .body(())
        .expect("valid");
    let response = layer()
        .layer(RefusesInCall)
        .oneshot(request)
        .await
        .expect("infallible");
    assert!(String::from_utf8_lossy(response.body()).contains(r#""request_id":"early""#));
}

#[tokio::test]
async fn what_is_logged_on_the_way_names_the_request_and_the_trace() {
    let log = Log::capture(Level::INFO);
    let service = layer().layer(service_fn(async |_: Request<()>| {
        tokio::task::yield_now().await;
        tracing::info!("working");
        Ok::<_, Infallible>(Response::new(()))
    }));
    let request = Request::get("/secret-path?token=hidden")
        .header("x-request-id", "abc")
        .header("traceparent", TRACE)
        .body(())
        .expect("a valid request");
    service.oneshot(request).await.expect("infallible");

    let log = log.lines().join("\n");
    assert!(
        log.contains(r#"request{request_id="abc" trace_id=4bf92f3577b34da6a3ce929d0e0e4736}"#),
        "{log}"
    );
    assert!(
        !log.contains("secret-path") && !log.contains("hidden"),
        "{log}"
    );
}
