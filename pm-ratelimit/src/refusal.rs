use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pm_core::Problem;

use crate::PolicyName;
use crate::block::Blocked;
use crate::ruling::Ruling;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// A request that the layer does not let in; what the function given to
/// [`on_refusal`](crate::RateLimitLayer::on_refusal) makes an answer from.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub(crate) ruling: Option<&'a Ruling<'a>>,
    /// Where it is not by a ruling.
    pub(crate) policy: Option<&'a PolicyName>,
    pub(crate) blocked: Option<&'a Blocked>,
    pub(crate) reason: Reason,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) grpc: bool,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The address is kept out: see [`BlockLayer`](crate::BlockLayer).
    Blocked,
    /// There are as many requests or sockets at the same time as there may be: see
    /// [`InFlightLayer`](crate::in_flight::InFlightLayer).
    InFlight,
    /// A quota is used up for now.
    Limited,
    /// The path of the request has no normal form, so that it cannot be told which rule is meant.
    MalformedPath,
    /// The request costs more than a quota ever holds.
    Never,
    /// There is an [emergency](crate::emergency), and less of a quota is left than at other times, where
    /// its profile says that this is
    /// [for want of capacity](crate::emergency::Answer::TemporaryReducedCapacity).
    ReducedCapacity,
    /// The store failed, and a rule is [closed](crate::OnFailure::Closed) then.
    StoreUnavailable,
    /// The request has neither a [`ClientIp`](pm_core::ClientIp) nor a
    /// [`PeerAddr`](pm_core::PeerAddr) in its extensions: the service is put together wrongly.
    UnknownClient,
}

impl Refusal<'_> {
    /// The rules that refuse. None if the reason is another than a quota.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyName> {
        let violated = self.ruling.map(Ruling::violated).into_iter().flatten();
        violated.map(|part| &part.rule.name).chain(self.policy)
    }

    /// What keeps the address out, if that is the reason. It is for the answer to say as much of it as
    /// the caller may know.
    #[must_use]
    pub const fn blocked(&self) -> Option<&Blocked> {
        self.blocked
    }

    /// Why the request is refused.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long to wait, where waiting helps: until the last of the rules that refuse lets it in.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the request is a call of gRPC, by its content type.
    #[must_use]
    pub const fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// The answer that the layer gives of itself: to a call of gRPC a status, to others the
    /// [problem](Self::problem).
    #[must_use]
    pub fn response(&self) -> Response<Bytes> {
        if self.grpc {
            self.grpc_status()
        } else {
            self.problem().into_response()
        }
    }

    /// 429, 413, 403, 400, 503 or 500, with the problem types and the member `violated-policies` of the
    /// `RateLimit` header draft.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.status());
        let problem = match self.reason {
            Reason::InFlight | Reason::Limited => problem.with_type(
                "https://iana.org/assignments/http-problem-types#quota-exceeded",
                "Request cannot be satisfied as assigned quota has been exceeded",
            ),
            Reason::ReducedCapacity | Reason::StoreUnavailable => problem.with_type(
                "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
                "Request cannot be satisfied due to temporary server capacity constraints",
            ),
            Reason::Blocked | Reason::MalformedPath | Reason::Never | Reason::UnknownClient => {
                problem
            }
        };
        let mut problem = problem.with_detail(self.detail());
        let violated: Vec<String> = self.policies().map(ToString::to_string).collect();
        if !violated.is_empty() {
            problem = problem.with_member("violated-policies", violated);
        }
        match self.retry_after {
            Some(wait) => problem.with_retry_after(wait),
            None => problem,
        }
    }

    const fn status(&self) -> StatusCode {
        match self.reason {
            Reason::Blocked => StatusCode::FORBIDDEN,
            Reason::InFlight | Reason::Limited => StatusCode::TOO_MANY_REQUESTS,
            Reason::MalformedPath => StatusCode::BAD_REQUEST,
            Reason::Never => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::ReducedCapacity | Reason::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Reason::UnknownClient => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn detail(&self) -> &'static str {
        match self.reason {
            Reason::Blocked => "requests from this address are not accepted",
            Reason::InFlight => "too many at the same time: wait until one of them is done",
            Reason::Limited => "too many requests: wait as long as the header Retry-After says",
            Reason::MalformedPath => {
                "the path can be read in more than one way: send it in its normal form"
            }
            Reason::Never => "the request costs more than the quota holds: make it smaller",
            Reason::ReducedCapacity => {
                "less can be done than at other times: wait as long as the header Retry-After says"
            }
            Reason::StoreUnavailable => {
                "the request cannot be counted right now: try again shortly"
            }
            Reason::UnknownClient => "the server cannot tell where the request comes from",
        }
    }

    /// Headers alone, which a client of gRPC takes for trailers ("Trailers-Only"). An HTTP status
    /// other than 200 would reach the caller as `UNAVAILABLE`, which clients retry at once.
    fn grpc_status(&self) -> Response<Bytes> {
        let status = match self.reason {
            Reason::InFlight | Reason::Limited | Reason::Never => "8",
            Reason::MalformedPath => "3",
            Reason::Blocked => "7",
            Reason::ReducedCapacity | Reason::StoreUnavailable => "14",
            Reason::UnknownClient => "13",
        };
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(GRPC_STATUS, HeaderValue::from_static(status));
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(self.detail()));
        // Waiting helps not at all: a negative number tells a client not to retry.
        let pushback = match self.retry_after {
            Some(wait) => {
                HeaderValue::from(wait.as_nanos().div_ceil(1_000_000).min(1 << 60) as u64)
            }
            None => HeaderValue::from_static("-1"),
        };
        headers.insert(GRPC_PUSHBACK, pushback);
        response
    }
}
