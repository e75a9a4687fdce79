use std::fmt;
use std::sync::Arc;

use http::{Method, Request};
use pm_core::{ClientIp, Context, PeerAddr, RequestId, TrustedProxies};

use crate::op::Target;
use crate::{Op, PolicyName, Verdict, axum, caller};

/// The longest endpoint that is kept, in bytes.
const MAX_ENDPOINT: usize = 256;

/// Is told of every request, frame or job that a limiter refuses.
///
/// A refusal counts if somebody asked for more than a quota or a limit allows. One for another
/// reason is not the caller's doing, and nobody is told: a store that failed, an emergency that refuses
/// [for want of capacity](crate::emergency::Answer::TemporaryReducedCapacity), a path without a normal
/// form, a request from nowhere.
pub trait RefusalObserver: fmt::Debug + Send + Sync + 'static {
    /// Somebody was refused.
    ///
    /// It is called on the way of the request, also in a flood of refusals: it must not block, and
    /// must bound what it keeps.
    fn refused(&self, incident: &Incident<'_>);
}

/// One refusal: who was refused what.
///
/// The layers and [`Limiter::check`](crate::Limiter::check) make them; you can, too, for refusals of
/// your own that are to count, such as wrong passwords.
#[derive(Clone, Copy)]
#[must_use = "it is nothing until an observer is told"]
pub struct Incident<'a> {
    client: Option<ClientIp>,
    verified: bool,
    method: Option<&'a Method>,
    path: &'a str,
    policy: Option<&'a PolicyName>,
    request_id: Option<&'a RequestId>,
}

impl<'a> Incident<'a> {
    /// A refusal of this path, route or operation, of whom is not known.
    pub const fn new(path: &'a str) -> Self {
        Self {
            client: None,
            verified: true,
            method: None,
            path,
            policy: None,
            request_id: None,
        }
    }

    /// The address that was refused. Whoever tells it vouches for it: it is the other end of a
    /// connection, or what trusted proxies say of it, and never what a header claims.
    pub fn client(mut self, client: impl Into<ClientIp>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The same, except that nobody vouches for the address: it is recorded, and never blocked for
    /// it.
    pub const fn unverified(mut self) -> Self {
        self.verified = false;
        self
    }

    /// The method of the request.
    pub const fn method(mut self, method: &'a Method) -> Self {
        self.method = Some(method);
        self
    }

    /// The rule that refused.
    pub const fn policy(mut self, policy: &'a PolicyName) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The id of the request. Without it, that of the current [`Context`].
    pub const fn request_id(mut self, id: &'a RequestId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// The address that was refused, if it is known.
    #[must_use]
    pub const fn as_client(&self) -> Option<ClientIp> {
        self.client
    }

    /// The address that was refused, if it is known and somebody vouches for it.
    #[must_use]
    pub fn verified_client(&self) -> Option<ClientIp> {
        self.client.filter(|_| self.verified)
    }

    /// Method and path, such as `POST /login`; the name of an operation; nothing for an operation
    /// without one. It has no query, and ends behind 256 bytes.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let path = cut(self.path, MAX_ENDPOINT);
        let Some(method) = self.method else {
            return path.to_owned();
        };
        let method = cut(method.as_str(), MAX_ENDPOINT);
        let mut endpoint = format!("{method} {path}");
        endpoint.truncate(cut(&endpoint, MAX_ENDPOINT).len());
        endpoint
    }

    /// The method of the request; none where it was no request, but a frame or a job.
    #[must_use]
    pub const fn as_method(&self) -> Option<&'a Method> {
        self.method
    }

    /// The rule that refused; the first of several.
    #[must_use]
    pub const fn as_policy(&self) -> Option<&'a PolicyName> {
        self.policy
    }

    /// The id of the request.
    #[must_use]
    pub fn as_request_id(&self) -> Option<RequestId> {
        let current = || Context::current().map(|context| context.request_id().clone());
        self.request_id.cloned().or_else(current)
    }
}

/// Tells of a request that was refused.
pub(crate) fn tell<B>(
    observers: &[Arc<dyn RefusalObserver>],
    request: &Request<B>,
    policy: Option<&PolicyName>,
    proxies: &TrustedProxies,
) {
    if observers.is_empty() {
        return;
    }
    let extensions = request.extensions();
    let path = axum::route(extensions).unwrap_or(request.uri().path());
    let client = caller::client(request.headers(), extensions, proxies);
    let incident = Incident {
        client,
        // Only behind the address of a socket can an address be believed.
        verified: extensions.get::<PeerAddr>().is_some(),
        method: Some(request.method()),
        path,
        policy,
        request_id: extensions.get().map(Context::request_id),
    };
    for observer in observers {
        observer.refused(&incident);
    }
}

/// Tells of something that was asked and refused, if it was.
pub(crate) fn tell_of_verdict(
    observers: &[Arc<dyn RefusalObserver>],
    verdict: &Verdict,
    client: Option<ClientIp>,
    op: &Op<'_>,
) {
    let policy = match verdict {
        Verdict::Allowed(_) => return,
        Verdict::Never(never) => Some(never.policy()),
        // Without an outcome it is the store that failed.
        Verdict::Refused(refused) if refused.outcome.is_none() || refused.reduced_capacity => {
            return;
        }
        Verdict::Refused(refused) => refused.policy(),
    };
    let (method, path) = match op.target {
        Target::Anything => (None, ""),
        Target::Operation(name) => (None, name),
        Target::Request { method, path } => (Some(method), path),
    };
    let incident = Incident {
        client,
        method,
        policy,
        ..Incident::new(path)
    };
    for observer in observers {
        observer.refused(&incident);
    }
}

/// As much of the text as fits into so many bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Without the address.
impl fmt::Debug for Incident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incident")
            .field("verified", &self.verified)
            .field("path", &self.path)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
