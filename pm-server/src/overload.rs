//! What is refused first when there is more to do than can be done.

use std::time::Duration;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use pm_core::Clock;
use pm_resilience::{Limit, LimitSettings, Priority, Shed, ShedSettings, limit::Rule};

/// Requests that take longer than this on average are too many at a time.
const SLOW: Duration = Duration::from_millis(500);

/// As many requests at a time as are answered soon, what matters more to the last.
///
/// By a fixed measure, since requests differ: a project costs a hundred times what an item does, and a
/// shift between them is no queue. Sockets are not counted, but for their upgrades; what they send
/// waits in the queue of a writer, which has a bound of its own.
#[must_use]
pub fn shed(clock: &Clock) -> Shed {
    let settings = LimitSettings::new()
        .with_initial(256)
        .with_min(64)
        .with_max(1024)
        .with_rule(Rule::aimd(SLOW));
    let limit = Limit::new("http", settings).expect("what is written here is valid");
    let limit = limit.with_clock(clock.clone());
    Shed::new(limit, ShedSettings::default()).expect("the default is valid")
}

/// Says how much a request matters. Health is not asked about: it is answered beside all this.
pub(crate) async fn priority(mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let priority = match route.map(MatchedPath::as_str) {
        // Who has a socket needs no request any more.
        Some("/ws") => Priority::High,
        // Everything of a project at once; whoever wants it may come later.
        Some("/api/v1/projects/{id}/context") | None => Priority::Low,
        Some(_) => Priority::Normal,
    };
    request.extensions_mut().insert(priority);
    next.run(request).await
}
