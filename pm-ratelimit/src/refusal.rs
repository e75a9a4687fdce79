use std::time::Duration;

use http::StatusCode;
use pm_core::Problem;

use crate::PolicyName;

/// A request that the layer does not let in; what the function given to
/// [`on_refusal`](crate::RateLimitLayer::on_refusal) makes an answer from.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub(crate) policy: &'a PolicyName,
    pub(crate) reason: Reason,
    pub(crate) retry_after: Option<Duration>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The quota is used up for now.
    Limited,
    /// The request costs more than the quota ever holds.
    Never,
    /// The store failed, and the limiter is [closed](crate::OnFailure::Closed) then.
    StoreUnavailable,
    /// The request has neither a [`ClientIp`](pm_core::ClientIp) nor a
    /// [`PeerAddr`](pm_core::PeerAddr) in its extensions: the service is put together wrongly.
    UnknownClient,
}

impl Refusal<'_> {
    /// The policy that refuses.
    #[must_use]
    pub const fn policy(&self) -> &PolicyName {
        self.policy
    }

    /// Why it does.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long to wait, where waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The answer that the layer gives of itself: 429, 413, 503 or 500, with the problem types and
    /// the member `violated-policies` of the `RateLimit` header draft.
    pub fn problem(&self) -> Problem {
        let problem = match self.reason {
            Reason::Limited => Problem::new(StatusCode::TOO_MANY_REQUESTS)
                .with_type(
                    "https://iana.org/assignments/http-problem-types#quota-exceeded",
                    "Request cannot be satisfied as assigned quota has been exceeded",
                )
                .with_detail("too many requests: wait as long as the header Retry-After says")
                .with_member("violated-policies", vec![self.policy.to_string()]),
            Reason::Never => Problem::new(StatusCode::PAYLOAD_TOO_LARGE)
                .with_detail("the request costs more than the quota holds: make it smaller")
                .with_member("violated-policies", vec![self.policy.to_string()]),
            Reason::StoreUnavailable => Problem::new(StatusCode::SERVICE_UNAVAILABLE)
                .with_type(
                    "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
                    "Request cannot be satisfied due to temporary server capacity constraints",
                )
                .with_detail("the request cannot be counted right now: try again shortly"),
            Reason::UnknownClient => Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
                .with_detail("the server cannot tell where the request comes from"),
        };
        match self.retry_after {
            Some(wait) => problem.with_retry_after(wait),
            None => problem,
        }
    }
}
