use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Extensions, Response};
use pm_core::{ClientIp, PeerAddr};
use tower_layer::Layer;

use crate::{Limiter, Quota, RateLimit, Reason, Refusal, Verdict, headers};

/// Limits the requests of each client, by its address.
///
/// ```
/// use pm_ratelimit::{Quota, RateLimitLayer};
///
/// let layer = RateLimitLayer::per_client(Quota::per_minute(300).burst(50));
/// ```
///
/// The client is the [`ClientIp`] in the request's extensions, which
/// [`ClientIpLayer`](pm_core::ClientIpLayer) puts there: it belongs outside this layer. Without
/// one it is the [`PeerAddr`], as it would be with no proxy trusted. A request with neither is
/// answered with 500 and an error is logged, once: to put all such clients into one bucket would
/// let any of them lock out the others.
///
/// A request costs one token. One that is let in carries `RateLimit` and `RateLimit-Policy` on its
/// response, in addition to those of layers further in. One that is refused gets what
/// [`on_refusal`](Self::on_refusal) makes, by default the [problem](Refusal::problem), with the
/// same headers and `Retry-After` where waiting helps.
#[derive(Clone)]
pub struct RateLimitLayer(Arc<Admission>);

/// What the layer, its services and their futures share.
pub(crate) struct Admission {
    pub(crate) limiter: Limiter,
    refuse: Box<Refuse>,
    /// Whether a request from nowhere has been logged.
    complained: AtomicBool,
}

type Refuse = dyn Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync;

impl RateLimitLayer {
    /// Each client has this quota, counted in memory. The whole quick path.
    #[must_use]
    pub fn per_client(quota: Quota) -> Self {
        Self::new(Limiter::new(quota))
    }

    /// Each client has what `limiter` says.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        Self::build(
            limiter,
            Box::new(|refusal| refusal.problem().into_response()),
        )
    }

    /// The same layer, whose refusals are answered by `answer`.
    ///
    /// The layer adds the headers `RateLimit` and `RateLimit-Policy`, and `Retry-After` unless it
    /// is there already. A body in the gRPC or the HTML of your service starts here, and so does a
    /// count of refusals:
    ///
    /// ```
    /// use pm_ratelimit::{Quota, RateLimitLayer};
    ///
    /// let layer = RateLimitLayer::per_client(Quota::per_second(5))
    ///     .on_refusal(|refusal| refusal.problem().with_instance("/help/limits").into_response());
    /// ```
    #[must_use]
    pub fn on_refusal(
        self,
        answer: impl Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self::build(self.0.limiter.clone(), Box::new(answer))
    }

    fn build(limiter: Limiter, refuse: Box<Refuse>) -> Self {
        Self(Arc::new(Admission {
            limiter,
            refuse,
            complained: AtomicBool::new(false),
        }))
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.0))
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("limiter", &self.0.limiter)
            .finish_non_exhaustive()
    }
}

impl Admission {
    pub(crate) fn client(extensions: &Extensions) -> Option<ClientIp> {
        extensions.get::<ClientIp>().copied().or_else(|| {
            extensions
                .get::<PeerAddr>()
                .map(|peer| ClientIp::new(peer.0.ip()))
        })
    }

    /// The answer to a request whose client is not known.
    pub(crate) fn refuse_unknown(&self) -> Response<Bytes> {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::error!(
                policy = self.limiter.name().as_str(),
                "a request has neither ClientIp nor PeerAddr in its extensions and is answered \
                 with 500: put a ClientIpLayer outside the RateLimitLayer, and give each request \
                 the PeerAddr of its connection"
            );
        }
        (self.refuse)(&self.refusal(Reason::UnknownClient))
    }

    /// The answer to a request with this verdict; `None` if it is to be let in.
    pub(crate) fn refuse(&self, verdict: &Verdict) -> Option<Response<Bytes>> {
        let (refusal, outcome) = match verdict {
            Verdict::Allowed(_) => return None,
            Verdict::Never(_) => (self.refusal(Reason::Never), None),
            Verdict::Refused(refused) => {
                let reason = match refused.outcome {
                    Some(_) => Reason::Limited,
                    None => Reason::StoreUnavailable,
                };
                let retry_after = Some(refused.retry_after());
                (
                    Refusal {
                        retry_after,
                        ..self.refusal(reason)
                    },
                    refused.outcome,
                )
            }
        };
        tracing::debug!(
            policy = refusal.policy.as_str(),
            reason = ?refusal.reason,
            retry_after = ?refusal.retry_after,
            "request refused"
        );
        let mut response = (self.refuse)(&refusal);
        if let Some(outcome) = outcome {
            let rate_limit = headers::rate_limit(refusal.policy, &outcome);
            headers::append(response.headers_mut(), self.limiter.policy(), rate_limit);
        }
        if let Some(wait) = refusal.retry_after {
            headers::ensure_retry_after(response.headers_mut(), wait);
        }
        Some(response)
    }

    fn refusal(&self, reason: Reason) -> Refusal<'_> {
        Refusal {
            policy: self.limiter.name(),
            reason,
            retry_after: None,
        }
    }
}
