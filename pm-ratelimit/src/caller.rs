//! What other layers may put into the extensions of a request, beside
//! [`Identity`] and [`ClientIp`].

use std::fmt;
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Extensions, HeaderMap};
use pm_core::{ClientIp, Identity, PeerAddr, TrustedProxies};

use crate::Subject;

/// The API key that a request was authenticated with, for rules by [`By::ApiKey`](crate::By::ApiKey).
///
/// Put there a key that has been verified, and nothing that the client merely claims.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKey(Arc<str>);

/// The connection that a request came in on, for rules by [`By::Connection`](crate::By::Connection):
/// a number that no other open connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// A subject of another kind, for rules by [`By::Custom`](crate::By::Custom).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CustomSubject {
    kind: &'static str,
    value: Arc<str>,
}

/// What a request costs, for all rules that apply to it. Without it, 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cost(pub u32);

impl ApiKey {
    /// This key.
    #[must_use]
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }
}

impl CustomSubject {
    /// `value` is whose bucket it is; `kind` is what the rule names.
    #[must_use]
    pub fn new(kind: &'static str, value: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }
}

/// Before authentication: the address and the connection.
pub(crate) fn at_the_edge<'r>(
    headers: &HeaderMap,
    extensions: &'r Extensions,
    proxies: &TrustedProxies,
) -> Subject<'r> {
    locate(Subject::new(), headers, extensions, proxies)
}

/// Behind authentication: everything.
pub(crate) fn identified<'r>(
    headers: &HeaderMap,
    extensions: &'r Extensions,
    proxies: &TrustedProxies,
) -> Subject<'r> {
    let mut subject = (extensions.get::<Identity>()).map_or(Subject::new(), Subject::identity);
    if let Some(ApiKey(key)) = extensions.get() {
        subject = subject.api_key(key);
    }
    if let Some(CustomSubject { kind, value }) = extensions.get() {
        subject = subject.custom(kind, value);
    }
    locate(subject, headers, extensions, proxies)
}

fn locate<'r>(
    mut subject: Subject<'r>,
    headers: &HeaderMap,
    extensions: &'r Extensions,
    proxies: &TrustedProxies,
) -> Subject<'r> {
    if let Some(ConnectionId(number)) = extensions.get() {
        subject = subject.connection(*number);
    }
    match client(headers, extensions, proxies) {
        Some(client) => subject.client(client),
        None => subject,
    }
}

/// The address that a layer further out has found, or else what the peer and these proxies say.
pub(crate) fn client(
    headers: &HeaderMap,
    extensions: &Extensions,
    proxies: &TrustedProxies,
) -> Option<ClientIp> {
    let found = extensions.get::<ClientIp>().copied();
    found.or_else(|| {
        let PeerAddr(peer) = extensions.get()?;
        Some(proxies.client_ip(peer.ip(), headers))
    })
}

/// Whether a request is a call of gRPC, which wants its refusals as a status of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Without the key.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// Without the value.
impl fmt::Debug for CustomSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomSubject")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
