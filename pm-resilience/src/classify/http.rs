use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use pm_core::Clock;

use super::{Classify, ClassifyStream, Outcome};

/// What an HTTP response says, by its status.
///
/// | result | outcome |
/// | --- | --- |
/// | 1xx, 2xx, 3xx | success |
/// | 404, 409, 410, 412, 422 | success: only something that works could say so |
/// | 408, 429, 500, 502, 503, 504 | retryable, after what `Retry-After` says |
/// | every other 5xx | failure |
/// | every other 4xx | ignored: it was refused before anybody looked |
/// | a transport error | retryable |
/// | a body that fails behind the head | failure, seen by a [`Watched`](super::Watched) body |
///
/// A 504 is a [time-out](Classify::is_timeout) of what was called.
///
/// `Retry-After` is in seconds or a date (RFC 9110 §10.2.3); a date is compared with the wall clock,
/// and one in the past is "now". Where it is missing or is neither, a 429 asks to be left alone for a
/// time that it does not name, and the others ask for nothing.
#[derive(Clone, Debug, Default)]
pub struct Http {
    clock: Clock,
}

impl Http {
    /// By the machine's clock, where a date has to be compared.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            clock: Clock::system(),
        }
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn status(&self, status: StatusCode, headers: &HeaderMap) -> Outcome {
        match status.as_u16() {
            404 | 409 | 410 | 412 | 422 => Outcome::Success,
            429 => Outcome::Retryable {
                after: Some(self.retry_after(headers).unwrap_or(Duration::ZERO)),
            },
            408 | 500 | 502 | 503 | 504 => Outcome::Retryable {
                after: self.retry_after(headers),
            },
            500.. => Outcome::Failure,
            400.. => Outcome::Ignored,
            _ => Outcome::Success,
        }
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than a number holds are a wait without end, not a wait of nothing.
            return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        let date: SystemTime = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(self.clock.wall()).unwrap_or_default())
    }
}

impl<B, E> Classify<Response<B>, E> for Http {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(response) => self.status(response.status(), response.headers()),
            Err(_) => Outcome::retryable(),
        }
    }

    fn is_timeout(&self, result: Result<&Response<B>, &E>) -> bool {
        result.is_ok_and(|response| response.status() == StatusCode::GATEWAY_TIMEOUT)
    }
}

impl ClassifyStream for Http {
    fn classify_head<B>(&self, response: &Response<B>) -> Option<Outcome> {
        match self.status(response.status(), response.headers()) {
            Outcome::Success => None,
            outcome => Some(outcome),
        }
    }

    fn classify_end(&self, _: Option<&HeaderMap>) -> Outcome {
        Outcome::Success
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(http: &Http, status: u16, retry_after: Option<&str>) -> Outcome {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        if let Some(text) = retry_after {
            let value = text.parse().expect("a header value");
            response.headers_mut().insert(RETRY_AFTER, value);
        }
        http.classify(Ok::<_, &()>(&response))
    }

    #[test]
    fn a_503_that_arrived_is_a_failure() {
        for status in [408, 429, 500, 501, 502, 503, 504, 505, 511, 599] {
            assert!(
                classify(&Http::new(), status, None).is_failure(),
                "{status}"
            );
        }
        assert!(Classify::<Response<()>, _>::classify(&Http::new(), Err(&())).is_failure());
    }

    #[test]
    fn an_answer_that_only_something_that_works_could_give_is_a_success() {
        for status in [101, 200, 204, 301, 304, 404, 409, 410, 412, 422] {
            let outcome = classify(&Http::new(), status, None);
            assert_eq!(outcome, Outcome::Success, "{status}");
        }
        for status in [400, 401, 403, 405, 413, 431, 499] {
            let outcome = classify(&Http::new(), status, None);
            assert_eq!(outcome, Outcome::Ignored, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_or_nothing() {
        let (clock, time) = Clock::manual();
        time.advance(Duration::from_secs(3));
        let http = Http::new().with_clock(clock);
        let seconds = Duration::from_secs;
        let cases = [
            (503, None, None),
            (429, None, Some(Duration::ZERO)),
            (429, Some("7"), Some(seconds(7))),
            (503, Some(" 7 "), Some(seconds(7))),
            (503, Some("0"), Some(Duration::ZERO)),
            (
                503,
                Some("99999999999999999999999"),
                Some(seconds(u64::MAX)),
            ),
            (
                503,
                Some("Thu, 01 Jan 2026 00:01:00 GMT"),
                Some(seconds(57)),
            ),
            (
                503,
                Some("Thu, 01 Jan 2026 00:00:01 GMT"),
                Some(Duration::ZERO),
            ),
            (503, Some("-7"), None),
            (503, Some("+7"), None),
            (503, Some("soon"), None),
            (429, Some("soon"), Some(Duration::ZERO)),
            (503, Some(""), None),
        ];
        for (status, text, after) in cases {
            let outcome = classify(&http, status, text);
            assert_eq!(outcome, Outcome::Retryable { after }, "{status} {text:?}");
        }
    }
}
