use std::future::Future;
use std::pin::Pin;

use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap, StatusCode};

use crate::{Bulkhead, Limit, Outcome, Priority, Rejection, Shed, bulkhead, limit};

/// What lets requests in: [`Bulkhead`], [`Limit`] and [`Shed`]. Not to be implemented elsewhere.
pub trait Gate: sealed::Sealed<Permit: Send> + Clone + Send + Sync + 'static {}

impl<G: sealed::Sealed<Permit: Send> + Clone + Send + Sync + 'static> Gate for G {}

/// What the gate says.
#[derive(Debug)]
#[allow(unreachable_pub, reason = "the sealed half of a public trait")]
pub enum Entry<P> {
    Admitted(P),
    Refused(Rejection),
    Waiting(Wait<P>),
}

#[allow(unreachable_pub, reason = "the sealed half of a public trait")]
pub struct Wait<P>(pub(super) Pin<Box<dyn Future<Output = Result<P, Rejection>> + Send>>);

impl<P> std::fmt::Debug for Wait<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wait")
    }
}

impl<P> From<Result<P, Rejection>> for Entry<P> {
    fn from(acquired: Result<P, Rejection>) -> Self {
        match acquired {
            Ok(permit) => Self::Admitted(permit),
            Err(rejection) => Self::Refused(rejection),
        }
    }
}

pub(super) mod sealed {
    use super::{Entry, Extensions, HeaderMap, StatusCode};

    #[allow(unreachable_pub, reason = "the sealed half of a public trait")]
    pub trait Sealed {
        /// Leave for one request.
        type Permit;

        /// Whether a request with these extensions is let in.
        fn admit(&self, extensions: &Extensions) -> Entry<Self::Permit>;

        /// The head of the response is there. The permit is kept for the body, if there is one to be
        /// kept.
        fn answered(
            permit: Self::Permit,
            status: StatusCode,
            headers: &HeaderMap,
        ) -> Option<Self::Permit>;
    }
}

impl sealed::Sealed for Bulkhead {
    type Permit = bulkhead::Permit;

    fn admit(&self, _: &Extensions) -> Entry<bulkhead::Permit> {
        match self.look() {
            Some(permit) => Entry::Admitted(permit),
            None if self.settings().queue == 0 => self.try_acquire().into(),
            None => Entry::Waiting(Wait(Box::pin(self.acquire()))),
        }
    }

    fn answered(
        permit: bulkhead::Permit,
        _: StatusCode,
        _: &HeaderMap,
    ) -> Option<bulkhead::Permit> {
        Some(permit)
    }
}

impl sealed::Sealed for Limit {
    type Permit = limit::Permit;

    fn admit(&self, _: &Extensions) -> Entry<limit::Permit> {
        self.try_acquire().into()
    }

    fn answered(
        mut permit: limit::Permit,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<limit::Permit> {
        permit.tell(match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Outcome::Failure,
            other if other.is_server_error() => Outcome::Ignored,
            _ => Outcome::Success,
        });
        (!lasts(status, headers)).then_some(permit)
    }
}

impl sealed::Sealed for Shed {
    type Permit = limit::Permit;

    fn admit(&self, extensions: &Extensions) -> Entry<limit::Permit> {
        let priority = extensions.get().copied().unwrap_or(Priority::Normal);
        self.try_acquire(priority).into()
    }

    fn answered(
        permit: limit::Permit,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Option<limit::Permit> {
        Limit::answered(permit, status, headers)
    }
}

/// Whether a response goes on for as long as somebody listens.
fn lasts(status: StatusCode, headers: &HeaderMap) -> bool {
    let is_events = |value: &http::HeaderValue| value.as_bytes().starts_with(b"text/event-stream");
    status == StatusCode::SWITCHING_PROTOCOLS || headers.get(CONTENT_TYPE).is_some_and(is_events)
}
