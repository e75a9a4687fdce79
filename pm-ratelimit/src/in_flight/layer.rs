use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use pm_core::TrustedProxies;
use tower_layer::Layer;

use super::{Concurrency, Full, InFlight, Permit};
use crate::caller::{self, is_grpc};
use crate::{Reason, Refusal, RefusalObserver, headers, observer};

/// Lets each subject have so many requests at the same time.
///
/// The permit of a request is held until the body of its response has ended, failed or is dropped.
/// It is also in the request's extensions, as a [`Permit`]: a handler that starts something that
/// lasts longer, such as a WebSocket, takes a clone and keeps it.
///
/// Whose request it is stands in its extensions, as for a
/// [`RateLimitLayer`](crate::RateLimitLayer) behind authentication; the address is that of
/// [`ClientIp`](pm_core::ClientIp), or of [`PeerAddr`](pm_core::PeerAddr) as it is. Where it is not
/// known, the answer is 500.
///
/// A refusal is answered with 429, without `Retry-After`, since nobody knows when the others will be
/// done; `RateLimit-Policy` states the limit in concurrent requests.
#[derive(Clone)]
pub struct InFlightLayer(Arc<Admission>);

pub(super) struct Admission {
    concurrency: Concurrency,
    policy: HeaderValue,
    refuse: Arc<Refuse>,
    observers: Vec<Arc<dyn RefusalObserver>>,
}

type Refuse = dyn Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync;

impl InFlightLayer {
    /// So many at the same time as `concurrency` says.
    #[must_use]
    pub fn new(concurrency: Concurrency) -> Self {
        Self::build(concurrency, Arc::new(answer), Vec::new())
    }

    /// The same layer, which tells one more of every refusal for too many at the same time, as
    /// [limiters](crate::LimiterBuilder::observer) do.
    #[must_use]
    pub fn observer(self, observer: impl RefusalObserver) -> Self {
        let Admission {
            concurrency,
            refuse,
            observers,
            ..
        } = &*self.0;
        let mut observers = observers.clone();
        observers.push(Arc::new(observer));
        Self::build(concurrency.clone(), Arc::clone(refuse), observers)
    }

    /// The same layer, whose refusals are answered by `answer`.
    #[must_use]
    pub fn on_refusal(
        self,
        answer: impl Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let (concurrency, observers) = (self.0.concurrency.clone(), self.0.observers.clone());
        Self::build(concurrency, Arc::new(answer), observers)
    }

    fn build(
        concurrency: Concurrency,
        refuse: Arc<Refuse>,
        observers: Vec<Arc<dyn RefusalObserver>>,
    ) -> Self {
        Self(Arc::new(Admission {
            policy: headers::concurrency(concurrency.name(), concurrency.limit()),
            concurrency,
            refuse,
            observers,
        }))
    }
}

/// What answers refusals if nothing else was said.
fn answer(refusal: &Refusal<'_>) -> Response<Bytes> {
    refusal.response()
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlight<S>;

    fn layer(&self, inner: S) -> InFlight<S> {
        InFlight::new(inner, Arc::clone(&self.0))
    }
}

impl fmt::Debug for InFlightLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightLayer")
            .field("concurrency", &self.0.concurrency)
            .finish_non_exhaustive()
    }
}

impl Admission {
    #[allow(
        clippy::result_large_err,
        reason = "it is taken apart at once, and a refusal is an answer like any other"
    )]
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Permit, Response<Bytes>> {
        let subject = caller::identified(
            request.headers(),
            request.extensions(),
            &TrustedProxies::none(),
        );
        self.concurrency.try_acquire(&subject).map_err(|full| {
            if full != Full::Unidentified {
                observer::tell(
                    &self.observers,
                    request,
                    Some(self.concurrency.name()),
                    &TrustedProxies::none(),
                );
            }
            self.refuse(full, request.headers())
        })
    }

    fn refuse(&self, full: Full, headers: &HeaderMap) -> Response<Bytes> {
        let known = full != Full::Unidentified;
        if !known {
            tracing::error!(
                policy = self.concurrency.name().as_str(),
                "a request without the subject that its limit is by is answered with 500: put the \
                 layer that establishes it outside the InFlightLayer"
            );
        }
        let refusal = Refusal {
            ruling: None,
            policy: known.then(|| self.concurrency.name()),
            blocked: None,
            reason: if known {
                Reason::InFlight
            } else {
                Reason::UnknownClient
            },
            retry_after: None,
            grpc: is_grpc(headers),
        };
        tracing::debug!(
            policy = self.concurrency.name().as_str(),
            %full,
            "request refused"
        );
        let mut response = (self.refuse)(&refusal);
        if known {
            response
                .headers_mut()
                .append(headers::RATE_LIMIT_POLICY, self.policy.clone());
        }
        response
    }
}
