use std::time::Duration;

use http::{HeaderMap, HeaderName, Response, StatusCode};

use super::{Classify, ClassifyStream, Outcome};

/// `grpc-status`
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// `grpc-retry-pushback-ms` (gRFC A6)
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// What a gRPC response says, by its status: from the head if it stands there, else from the
/// trailers, which a [`Watched`](super::Watched) body waits for.
///
/// | status | outcome |
/// | --- | --- |
/// | `OK`, `NOT_FOUND`, `ALREADY_EXISTS`, `FAILED_PRECONDITION`, `ABORTED`, `OUT_OF_RANGE` | success: only something that works could say so |
/// | `UNAVAILABLE`, `RESOURCE_EXHAUSTED` | retryable, after `grpc-retry-pushback-ms` |
/// | `UNKNOWN`, `DEADLINE_EXCEEDED`, `INTERNAL`, `DATA_LOSS`, an unknown code | failure |
/// | `CANCELLED`, `INVALID_ARGUMENT`, `PERMISSION_DENIED`, `UNIMPLEMENTED`, `UNAUTHENTICATED` | ignored |
/// | no status where the stream ends | failure |
/// | a transport error | retryable |
///
/// `DEADLINE_EXCEEDED`, in the head or in the trailers, and a 504 without a status, is a
/// [time-out](Classify::is_timeout) of what was called.
///
/// A negative `grpc-retry-pushback-ms`, or one that is no number, asks not to be called again: such
/// a status is a failure. A response that is not 200 and has no status has the one that gRPC's table
/// for such answers gives it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc;

/// A code of the gRPC protocol.
struct Code(u16);

impl Code {
    const UNKNOWN: Self = Self(2);
    const PERMISSION_DENIED: Self = Self(7);
    const UNIMPLEMENTED: Self = Self(12);
    const INTERNAL: Self = Self(13);
    const UNAVAILABLE: Self = Self(14);
    const UNAUTHENTICATED: Self = Self(16);

    /// What stands there, if anything does.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(GRPC_STATUS)?.to_str().unwrap_or_default();
        Some(text.parse().map_or(Self::UNKNOWN, Self))
    }

    /// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
    fn of_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::INTERNAL,
            401 => Self::UNAUTHENTICATED,
            403 => Self::PERMISSION_DENIED,
            404 => Self::UNIMPLEMENTED,
            429 | 502 | 503 | 504 => Self::UNAVAILABLE,
            _ => Self::UNKNOWN,
        }
    }

    const fn is_timeout(&self) -> bool {
        self.0 == 4
    }

    fn outcome(&self, headers: &HeaderMap) -> Outcome {
        match self.0 {
            0 | 5 | 6 | 9 | 10 | 11 => Outcome::Success,
            1 | 3 | 7 | 12 | 16 => Outcome::Ignored,
            8 => retryable(headers, Some(Duration::ZERO)),
            14 => retryable(headers, None),
            _ => Outcome::Failure,
        }
    }
}

/// Retryable after what the server pushes back with, else after `unnamed`.
fn retryable(headers: &HeaderMap, unnamed: Option<Duration>) -> Outcome {
    let Some(pushback) = headers.get(PUSHBACK) else {
        return Outcome::Retryable { after: unnamed };
    };
    match pushback.to_str().unwrap_or_default().parse() {
        Ok(millis) => Outcome::Retryable {
            after: Some(Duration::from_millis(millis)),
        },
        Err(_) => Outcome::Failure,
    }
}

impl<B, E> Classify<Response<B>, E> for Grpc {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(response) => self.classify_head(response).unwrap_or(Outcome::Success),
            Err(_) => Outcome::retryable(),
        }
    }

    fn is_timeout(&self, result: Result<&Response<B>, &E>) -> bool {
        result.is_ok_and(|response| match Code::of(response.headers()) {
            Some(code) => code.is_timeout(),
            None => response.status() == StatusCode::GATEWAY_TIMEOUT,
        })
    }
}

impl ClassifyStream for Grpc {
    fn classify_head<B>(&self, response: &Response<B>) -> Option<Outcome> {
        let headers = response.headers();
        let code = match (Code::of(headers), response.status()) {
            (Some(code), _) => code,
            (None, StatusCode::OK) => return None,
            (None, status) => Code::of_http(status),
        };
        Some(code.outcome(headers))
    }

    fn classify_end(&self, trailers: Option<&HeaderMap>) -> Outcome {
        trailers
            .and_then(|trailers| Code::of(trailers).map(|code| code.outcome(trailers)))
            .unwrap_or(Outcome::Failure)
    }

    fn is_timeout_end(&self, trailers: Option<&HeaderMap>) -> bool {
        let code = trailers.and_then(Code::of);
        code.is_some_and(|code| code.is_timeout())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(status: &str, pushback: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_STATUS, status.parse().expect("a value"));
        if let Some(pushback) = pushback {
            headers.insert(PUSHBACK, pushback.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn every_code_has_its_outcome_in_the_head_and_in_the_trailers() {
        let throttled = Outcome::Retryable {
            after: Some(Duration::ZERO),
        };
        for (code, expected) in [
            ("0", Outcome::Success),
            ("1", Outcome::Ignored),
            ("2", Outcome::Failure),
            ("3", Outcome::Ignored),
            ("4", Outcome::Failure),
            ("5", Outcome::Success),
            ("6", Outcome::Success),
            ("7", Outcome::Ignored),
            ("8", throttled),
            ("9", Outcome::Success),
            ("10", Outcome::Success),
            ("11", Outcome::Success),
            ("12", Outcome::Ignored),
            ("13", Outcome::Failure),
            ("14", Outcome::retryable()),
            ("15", Outcome::Failure),
            ("16", Outcome::Ignored),
            ("17", Outcome::Failure),
            ("", Outcome::Failure),
            ("99999999", Outcome::Failure),
        ] {
            let mut response = Response::new(());
            *response.headers_mut() = headers(code, None);
            assert_eq!(Grpc.classify(Ok::<_, &()>(&response)), expected, "{code}");
            let trailers = headers(code, None);
            assert_eq!(Grpc.classify_end(Some(&trailers)), expected, "{code}");
        }
    }

    #[test]
    fn a_deadline_that_was_exceeded_is_a_time_out_of_what_was_called() {
        let mut response = Response::new(());
        for (code, is_timeout) in [("4", true), ("14", false), ("0", false)] {
            *response.headers_mut() = headers(code, None);
            let result = Ok::<_, &()>(&response);
            assert_eq!(Grpc.is_timeout(result), is_timeout, "{code}");
        }
    }

    #[test]
    fn a_server_may_push_back_or_forbid_the_retry() {
        let after = |millis| Outcome::Retryable {
            after: Some(Duration::from_millis(millis)),
        };
        for (pushback, expected) in [
            ("250", after(250)),
            ("0", after(0)),
            ("-1", Outcome::Failure),
            ("soon", Outcome::Failure),
        ] {
            let trailers = headers("14", Some(pushback));
            assert_eq!(Grpc.classify_end(Some(&trailers)), expected, "{pushback}");
        }
    }

    #[test]
    fn a_stream_that_ends_without_a_status_has_failed() {
        assert_eq!(Grpc.classify_end(None), Outcome::Failure);
        assert_eq!(Grpc.classify_end(Some(&HeaderMap::new())), Outcome::Failure);
    }

    #[test]
    fn what_is_not_grpc_at_all_has_the_status_of_the_table() {
        for (status, expected) in [
            (400, Outcome::Failure),
            (401, Outcome::Ignored),
            (404, Outcome::Ignored),
            (429, Outcome::retryable()),
            (500, Outcome::Failure),
            (503, Outcome::retryable()),
        ] {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            assert_eq!(Grpc.classify_head(&response), Some(expected), "{status}");
        }
    }
}
