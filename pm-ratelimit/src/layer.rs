use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::Guard;
use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response};
use tower_layer::Layer;

use crate::caller::{self, Cost, is_grpc};
use crate::headers::Fields;
use crate::limiter::{PendingDecision, Settings};
use crate::op::Target;
use crate::rules::{Compiled, Picks, RuleSet};
use crate::ruling::Ruling;
use crate::{
    By, Decision, Error, Limiter, Op, Quota, RateLimit, Reason, Refusal, Stage, Subject, axum,
    headers, observer,
};

/// Limits HTTP requests, by the rules of one stage.
///
/// ```
/// use pm_ratelimit::{By, Limiter, Quota, RateLimitLayer, Rule, Rules, Stage};
///
/// // The quick path: each client, by its address.
/// let layer = RateLimitLayer::per_client(Quota::per_minute(300).burst(50));
///
/// // By rules: one layer outside authentication, one inside it.
/// let limiter = Limiter::builder(
///     Rules::new()
///         .rule("login", Rule::on("POST /login").by(By::Client).quota(Quota::per_minute(5)))
///         .rule("user", Rule::always().by(By::User).quota(Quota::per_minute(300))),
/// )
/// .build()?;
/// let (edge, identified) = (limiter.layer(Stage::Edge), limiter.layer(Stage::Identified));
/// # Ok::<(), pm_ratelimit::InvalidRules>(())
/// ```
///
/// **Whose request it is** stands in its extensions. The client is the [`ClientIp`](pm_core::ClientIp), which
/// [`ClientIpLayer`](pm_core::ClientIpLayer) puts there: it belongs outside this layer. Without one
/// it is found from the [`PeerAddr`](pm_core::PeerAddr), believing the
/// [proxies](crate::LimiterBuilder::proxies) of the limiter. A request with neither is answered with
/// 500 if a rule needs it, and an error is logged, once: to put all such clients into one bucket
/// would let any of them lock out the others. The user is the [`Identity`](pm_core::Identity); there may also be an
/// [`ApiKey`](caller::ApiKey), a
/// [`ConnectionId`](caller::ConnectionId) and a [`CustomSubject`](caller::CustomSubject). At the edge, only client and connection
/// are looked for.
///
/// **Which rules apply** is told by the route that axum has chosen (feature `axum`), or else by the
/// path in its normal form; one that has none is answered with 400, if there are rules about paths.
///
/// A request costs one token times [`Cost`], if that is in its extensions. One that is let in carries
/// [`headers`](crate::headers) on its response, in addition to those of layers further in. One that
/// is refused gets what [`on_refusal`](Self::on_refusal) makes, by default
/// [this](Refusal::response), with the same headers and `Retry-After` where waiting helps.
#[derive(Clone)]
pub struct RateLimitLayer(Arc<Admission>);

/// What the layer, its services and their futures share.
pub(crate) struct Admission {
    pub(crate) limiter: Limiter,
    stage: Stage,
    refuse: Box<Refuse>,
    /// Whether a request from nowhere has been logged.
    complained: AtomicBool,
}

type Refuse = dyn Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync;

/// How a request goes on.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box would be an allocation for each request"
)]
pub(crate) enum Step {
    Answered(Answer),
    Pending(PendingDecision),
}

/// What a decision means for its request.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box would be an allocation for each request"
)]
pub(crate) enum Answer {
    Admitted(Fields),
    Refused(Response<Bytes>),
}

impl RateLimitLayer {
    /// Each client has this quota, counted in memory. The whole quick path.
    #[must_use]
    pub fn per_client(quota: Quota) -> Self {
        Self::new(Limiter::new(quota))
    }

    /// What `limiter` says at the edge: for one of a single quota, each client has it.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        Self::at(limiter, Stage::Edge)
    }

    pub(crate) fn at(limiter: Limiter, stage: Stage) -> Self {
        Self::build(limiter, stage, Box::new(answer))
    }

    /// The same layer, whose refusals are answered by `answer`.
    ///
    /// The layer adds the headers of the limiter, and `Retry-After` unless it is there already. A
    /// body in the HTML of your service starts here, and so does a count of refusals:
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
        Self::build(self.0.limiter.clone(), self.0.stage, Box::new(answer))
    }

    fn build(limiter: Limiter, stage: Stage, refuse: Box<Refuse>) -> Self {
        Self(Arc::new(Admission {
            limiter,
            stage,
            refuse,
            complained: AtomicBool::new(false),
        }))
    }
}

/// What answers refusals if nothing else was said.
fn answer(refusal: &Refusal<'_>) -> Response<Bytes> {
    refusal.response()
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
            .field("stage", &self.0.stage)
            .field("limiter", &self.0.limiter)
            .finish_non_exhaustive()
    }
}

impl Admission {
    /// Decides on a request.
    pub(crate) fn decide<B>(&self, request: &Request<B>) -> Step {
        let subject = self.subject(request.headers(), request.extensions());
        let op = self.op(request);
        let limiter = &self.limiter;
        let rules = limiter.version();
        let mut client_wanted = false;
        let mut unidentified = |rule: &Compiled| {
            limiter.count_unidentified(rule);
            client_wanted |=
                matches!(rule.by, By::Caller | By::Client) && subject.as_client().is_none();
        };
        let keys = &limiter.settings().keys;
        let mut picks = Picks {
            profile: limiter.settings().profile(),
            ..Picks::default()
        };
        if (rules.pick(&op, &subject, keys, &mut picks, &mut unidentified)).is_err() {
            return self.refuse(Reason::MalformedPath, request);
        };
        if client_wanted {
            self.complain();
            return self.refuse(Reason::UnknownClient, request);
        }
        match limiter.try_decide(&rules, &mut picks, &subject) {
            None => {
                let rules = Guard::into_inner(rules);
                Step::Pending(limiter.decide(rules, picks, &subject))
            }
            Some(decision) => Step::Answered(self.settle(&rules, &picks, Ok(&decision), request)),
        }
    }

    #[inline]
    pub(crate) fn settle<B>(
        &self,
        rules: &RuleSet,
        picks: &Picks,
        decision: Result<&Decision, &Error>,
        request: &Request<B>,
    ) -> Answer {
        self.limiter.count(rules, picks, decision);
        let ruling = Ruling::new(rules, picks, decision);
        if ruling.is_admitted() {
            Answer::Admitted(self.fields(&ruling))
        } else {
            Answer::Refused(self.refusal(&ruling, request))
        }
    }

    fn refusal<B>(&self, ruling: &Ruling<'_>, request: &Request<B>) -> Response<Bytes> {
        let refusal = Refusal {
            ruling: Some(ruling),
            policy: None,
            blocked: None,
            reason: if ruling.is_failed() {
                Reason::StoreUnavailable
            } else if ruling.is_never() {
                Reason::Never
            } else if ruling.is_reduced_capacity() {
                Reason::ReducedCapacity
            } else {
                Reason::Limited
            },
            retry_after: ruling.retry_after(),
            grpc: is_grpc(request.headers()),
        };
        tracing::debug!(
            policy = refusal.policies().next().map(crate::PolicyName::as_str),
            reason = ?refusal.reason,
            retry_after = ?refusal.retry_after,
            "request refused"
        );
        // Of what is not the caller's doing nobody is told.
        if matches!(refusal.reason, Reason::Limited | Reason::Never) {
            let policy = refusal.policies().next();
            let Settings {
                observers, proxies, ..
            } = self.limiter.settings();
            observer::tell(observers, request, policy, proxies);
        }
        let mut response = (self.refuse)(&refusal);
        self.fields(ruling).write(response.headers_mut());
        if let Some(wait) = refusal.retry_after {
            headers::ensure_retry_after(response.headers_mut(), wait);
        }
        response
    }

    fn fields(&self, ruling: &Ruling<'_>) -> Fields {
        self.limiter.settings().headers.fields(ruling)
    }

    fn subject<'r>(&self, headers: &HeaderMap, extensions: &'r Extensions) -> Subject<'r> {
        let proxies = &self.limiter.settings().proxies;
        match self.stage {
            Stage::Edge => caller::at_the_edge(headers, extensions, proxies),
            Stage::Identified => caller::identified(headers, extensions, proxies),
        }
    }

    fn op<'r, B>(&self, request: &'r Request<B>) -> Op<'r> {
        let path = axum::route(request.extensions()).unwrap_or(request.uri().path());
        let Cost(cost) = request.extensions().get().copied().unwrap_or(Cost(1));
        Op::to(Target::Request {
            method: request.method(),
            path,
        })
        .stage(self.stage)
        .cost(cost)
    }

    fn complain(&self) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "a request has neither ClientIp nor PeerAddr in its extensions and is answered \
                 with 500: put a ClientIpLayer outside the RateLimitLayer, and give each request \
                 the PeerAddr of its connection"
            );
        }
    }

    /// The answer to a request that no rule has decided on.
    fn refuse<B>(&self, reason: Reason, request: &Request<B>) -> Step {
        let response = (self.refuse)(&Refusal {
            ruling: None,
            policy: None,
            blocked: None,
            reason,
            retry_after: None,
            grpc: is_grpc(request.headers()),
        });
        Step::Answered(Answer::Refused(response))
    }
}
