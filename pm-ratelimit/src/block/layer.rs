use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use pm_core::TrustedProxies;
use tower_layer::Layer;

use super::{Block, BlockList};
use crate::caller::{self, is_grpc};
use crate::{Reason, Refusal};

/// Answers requests from blocked addresses with 403, before anything else is done for them.
///
/// It belongs outside every other layer but [`ClientIpLayer`](pm_core::ClientIpLayer). Whose request
/// it is stands in its extensions: the [`ClientIp`](pm_core::ClientIp) that a layer further out has
/// found, or else what the [`PeerAddr`](pm_core::PeerAddr) and the [proxies](Self::proxies) say. A
/// request with neither is answered with 500, and an error is logged, once: nobody can tell whether
/// it is blocked.
///
/// Who is blocked is not told why or for how long; [`on_refusal`](Self::on_refusal) may do so.
#[derive(Clone)]
pub struct BlockLayer(Arc<Admission>);

pub(super) struct Admission {
    blocks: BlockList,
    proxies: TrustedProxies,
    refuse: Arc<Refuse>,
    /// Whether a request from nowhere has been logged.
    complained: AtomicBool,
}

type Refuse = dyn Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync;

impl BlockLayer {
    /// Keeps out whom the list keeps out.
    #[must_use]
    pub fn new(blocks: BlockList) -> Self {
        Self::build(blocks, TrustedProxies::none(), Arc::new(answer))
    }

    /// The same layer, which takes the word of these proxies for the client's address, where no
    /// [`ClientIpLayer`](pm_core::ClientIpLayer) has found it already.
    #[must_use]
    pub fn proxies(self, proxies: TrustedProxies) -> Self {
        Self::build(self.0.blocks.clone(), proxies, Arc::clone(&self.0.refuse))
    }

    /// The same layer, whose refusals are answered by `answer`.
    #[must_use]
    pub fn on_refusal(
        self,
        answer: impl Fn(&Refusal<'_>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self::build(
            self.0.blocks.clone(),
            self.0.proxies.clone(),
            Arc::new(answer),
        )
    }

    fn build(blocks: BlockList, proxies: TrustedProxies, refuse: Arc<Refuse>) -> Self {
        Self(Arc::new(Admission {
            blocks,
            proxies,
            refuse,
            complained: AtomicBool::new(false),
        }))
    }
}

/// What answers refusals if nothing else was said.
fn answer(refusal: &Refusal<'_>) -> Response<Bytes> {
    refusal.response()
}

impl<S> Layer<S> for BlockLayer {
    type Service = Block<S>;

    fn layer(&self, inner: S) -> Block<S> {
        Block::new(inner, Arc::clone(&self.0))
    }
}

impl fmt::Debug for BlockLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockLayer")
            .field("blocks", &self.0.blocks)
            .finish_non_exhaustive()
    }
}

impl Admission {
    /// The answer to a request that is not let in.
    pub(super) fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let (headers, extensions) = (request.headers(), request.extensions());
        let client = caller::client(headers, extensions, &self.proxies);
        let blocked = match client {
            None => {
                self.complain();
                None
            }
            Some(client) => Some(self.blocks.check(client)?),
        };
        let refusal = Refusal {
            ruling: None,
            policy: None,
            blocked: blocked.as_ref(),
            reason: if blocked.is_some() {
                Reason::Blocked
            } else {
                Reason::UnknownClient
            },
            retry_after: None,
            grpc: is_grpc(headers),
        };
        tracing::debug!(reason = ?refusal.reason(), "request refused");
        Some((self.refuse)(&refusal))
    }

    fn complain(&self) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "a request has neither ClientIp nor PeerAddr in its extensions and is answered \
                 with 500: give each request the PeerAddr of its connection"
            );
        }
    }
}
