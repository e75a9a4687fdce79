use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use pm_core::Problem;
use tower_layer::Layer;

use super::{Admission, Gate};
use crate::{Reason, Rejection};

/// How long to wait where nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Lets in what its gate lets in; see the [module documentation](super).
#[derive(Clone)]
pub struct AdmissionLayer<G>(pub(super) Arc<Door<G>>);

/// What the layer, its services and their futures share.
#[derive(Clone)]
pub(super) struct Door<G> {
    pub(super) gate: G,
    /// Until when a permit is held.
    pub(super) until: Until,
    refuse: Arc<Refuse>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    Head,
    BodyEnd,
}

type Refuse = dyn Fn(&Rejection) -> Response<Bytes> + Send + Sync;

impl<G: Gate> AdmissionLayer<G> {
    /// By this gate. All services that it builds share it.
    #[must_use]
    pub fn new(gate: G) -> Self {
        Self(Arc::new(Door {
            gate,
            until: Until::BodyEnd,
            refuse: Arc::new(|rejection| problem(rejection).into_response()),
        }))
    }

    /// The same layer, where a permit is freed when the head of the response is there.
    ///
    /// For bodies that are there already, or are read by strangers: whoever reads slowly takes no room
    /// from others then. What it still costs to make a body is not limited.
    #[must_use]
    pub fn until_head(self) -> Self {
        self.but(|door| door.until = Until::Head)
    }

    /// The same layer, whose refusals are answered by `answer`.
    ///
    /// ```
    /// use pm_resilience::admission::{LimitAdmissionLayer, problem};
    /// # use pm_resilience::{Limit, LimitSettings};
    /// # let limit = Limit::new("api", LimitSettings::default())?;
    ///
    /// let layer = LimitAdmissionLayer::new(limit)
    ///     .on_refusal(|rejection| problem(rejection).with_instance("/help/busy").into_response());
    /// # Ok::<(), pm_core::reload::InvalidSetting>(())
    /// ```
    #[must_use]
    pub fn on_refusal(
        self,
        answer: impl Fn(&Rejection) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.but(|door| door.refuse = Arc::new(answer))
    }

    fn but(self, change: impl FnOnce(&mut Door<G>)) -> Self {
        let mut door = Arc::unwrap_or_clone(self.0);
        change(&mut door);
        Self(Arc::new(door))
    }
}

/// The problem that refusals are answered with: 503, `Retry-After` as the rejection says or else one
/// second, of the type `temporary-reduced-capacity`. The name of what said no is not in it.
pub fn problem(rejection: &Rejection) -> Problem {
    let detail = match rejection.reason() {
        Reason::WaitedTooLong => "too many requests are waiting: try again shortly",
        Reason::Overloaded => "there is more to do than can be done: try again shortly",
        Reason::Full => "too many requests are under way: try again shortly",
        Reason::Open | Reason::Probing | Reason::ForcedOpen => {
            "something that is needed for this does not answer: try again later"
        }
        Reason::DeadlinePassed => "there was no time left for this: allow more, or try again",
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_type(
            "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
            "Request cannot be satisfied due to temporary server capacity constraints",
        )
        .with_detail(detail)
        .with_retry_after(rejection.retry_after().unwrap_or(RETRY_AFTER))
}

impl<G> Door<G> {
    pub(super) fn refuse(&self, rejection: &Rejection) -> Response<Bytes> {
        tracing::debug!(
            name = rejection.name(),
            by = rejection.by().as_str(),
            reason = rejection.reason().as_str(),
            "request refused"
        );
        (self.refuse)(rejection)
    }
}

impl<G, S> Layer<S> for AdmissionLayer<G> {
    type Service = Admission<G, S>;

    fn layer(&self, inner: S) -> Admission<G, S> {
        Admission::new(inner, Arc::clone(&self.0))
    }
}

impl<G: fmt::Debug> fmt::Debug for AdmissionLayer<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AdmissionLayer").field(&self.0.gate).finish()
    }
}
