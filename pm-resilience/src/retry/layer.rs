use http::{Method, Request};
use tower_layer::Layer;

use super::{Retry, RetryService};

/// In a request's extensions: it may be repeated although its method does not say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idempotent;

/// Retries HTTP requests. Made by [`Retry::layer`].
///
/// Only a request that may be repeated: its method is idempotent (RFC 9110 §9.2.2), or it is marked
/// as [`Idempotent`]. Its body is kept for that, up to
/// [64 KiB](super::BUFFERED_AT_MOST), before it is sent. A request whose body is larger, does not say
/// how large it is, or takes longer than [5 s](super::BUFFERED_WITHIN) to come, or than its
/// [`Deadline`](crate::Deadline), is sent once and as it comes.
///
/// The result of the last attempt is the answer, errors as they are. Around layers that reject, such
/// as a breaker's, classify with [`Guarded`](crate::classify::Guarded).
#[derive(Clone, Debug)]
pub struct RetryLayer<C> {
    retry: Retry,
    classify: C,
}

impl<C> RetryLayer<C> {
    pub(super) const fn new(retry: Retry, classify: C) -> Self {
        Self { retry, classify }
    }
}

impl<S, C: Clone> Layer<S> for RetryLayer<C> {
    type Service = RetryService<S, C>;

    fn layer(&self, inner: S) -> RetryService<S, C> {
        RetryService::new(inner, self.retry.clone(), self.classify.clone())
    }
}

impl Idempotent {
    /// Whether this request may be repeated.
    #[must_use]
    pub fn holds_for<B>(request: &Request<B>) -> bool {
        let method = request.method();
        let by_method = [
            Method::GET,
            Method::HEAD,
            Method::OPTIONS,
            Method::TRACE,
            Method::PUT,
            Method::DELETE,
        ];
        by_method.contains(method) || request.extensions().get::<Self>().is_some()
    }
}
