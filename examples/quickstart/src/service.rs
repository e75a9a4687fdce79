//! The service: its routes, and the layers around them, the outermost last.

use axum::Router;
use axum::routing::{get, post};
use pm_core::{ClientIpLayer, Clock, ContextLayer, TrustedProxies};
use pm_ratelimit::{By, InvalidRules, Limiter, OnFailure, Quota, Rule, Rules, Stage};

pub(crate) fn app() -> Result<Router, InvalidRules> {
    let login = Rule::on("POST /login").quota(Quota::per_minute(3));
    let rules = Rules::new()
        .rule(
            "login",
            login.by(By::Client).if_store_fails(OnFailure::Closed),
        )
        .rule(
            "client",
            Rule::always()
                .by(By::Client)
                .quota(Quota::per_second(10).burst(20)),
        );
    let limiter = Limiter::builder(rules).build()?;

    Ok(Router::new()
        .route("/", get(async || "hello\n"))
        .route("/login", post(async || "welcome\n"))
        // By address, before any work is done for the request.
        .layer(limiter.layer(Stage::Edge))
        // Whose address it is. No proxy is believed.
        .layer(ClientIpLayer::new(TrustedProxies::none()))
        // Every answer, refusals too, carries the id of its request.
        .layer(ContextLayer::new(Clock::system())))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use pm_core::PeerAddr;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn the_fourth_login_in_a_minute_is_refused() {
        let app = app().expect("valid rules");
        for status in [200, 200, 200, 429] {
            let request = Request::post("/login")
                .extension(PeerAddr(([192, 0, 2, 1], 1).into()))
                .body(Body::empty())
                .expect("a request");
            let answer = app.clone().oneshot(request).await.expect("infallible");
            assert_eq!(answer.status(), status);
            assert!(answer.headers().contains_key("x-request-id"));
        }
    }
}
