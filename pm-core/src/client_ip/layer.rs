use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use super::{PeerAddr, TrustedProxies};

/// Puts the [`ClientIp`](super::ClientIp) into the extensions of every request that has a
/// [`PeerAddr`].
///
/// A request without one gets none: what then happens is for the layer that needs the address to
/// say.
#[derive(Clone, Debug, Default)]
pub struct ClientIpLayer {
    proxies: TrustedProxies,
}

impl ClientIpLayer {
    /// A layer that believes these proxies.
    #[must_use]
    pub const fn new(proxies: TrustedProxies) -> Self {
        Self { proxies }
    }
}

impl<S> Layer<S> for ClientIpLayer {
    type Service = ClientIpService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ClientIpService {
            inner,
            proxies: self.proxies.clone(),
        }
    }
}

/// What [`ClientIpLayer`] builds.
#[derive(Clone, Debug)]
pub struct ClientIpService<S> {
    inner: S,
    proxies: TrustedProxies,
}

impl<S> ClientIpService<S> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for ClientIpService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(PeerAddr(peer)) = request.extensions().get().copied() {
            let client = self.proxies.client_ip(peer.ip(), request.headers());
            request.extensions_mut().insert(client);
        }
        self.inner.call(request)
    }
}
