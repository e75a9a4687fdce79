//! What belongs to one request and nothing else: its id and its place in a trace.
//!
//! [`ContextLayer`] makes a [`Context`] for every request and puts it where it is looked for: in
//! the request's extensions, in the answer's `x-request-id`, in a tracing span around the inner
//! service, and in a task-local that [`Context::current`] reads, so that every
//! [`Problem`](crate::Problem) made on the way carries the id. Put it outermost.
//!
//! A task-local ends at a task's edge; [`spawn`](fn@spawn) (feature `tokio`) carries it over.
//!
//! ```
//! use pm_core::{Clock, Context, RequestId};
//!
//! let context = Context::new(RequestId::new(&Clock::system()));
//! context.in_scope(|| {
//!     let here = Context::current().expect("inside a scope");
//!     assert_eq!(here.request_id(), context.request_id());
//! });
//! assert!(Context::current().is_none());
//! ```

mod future;
mod layer;
mod request_id;
mod scope;
mod service;
#[cfg(feature = "tokio")]
mod spawn;
mod traceparent;

use http::{HeaderMap, HeaderName};

pub use self::future::ResponseFuture;
pub use self::layer::ContextLayer;
pub use self::request_id::{InvalidRequestId, RequestId};
pub use self::scope::Scope;
pub use self::service::ContextService;
#[cfg(feature = "tokio")]
pub use self::spawn::spawn;
pub use self::traceparent::{InvalidTraceParent, TraceParent};

/// `x-request-id`
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `traceparent` (W3C Trace Context)
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The identity of one request: which request it is, and the trace it is part of.
///
/// Cheap to clone. Found in the request's extensions and by [`Context::current`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    request_id: RequestId,
    traceparent: Option<TraceParent>,
}

impl Context {
    /// A context outside any trace.
    #[must_use]
    pub const fn new(request_id: RequestId) -> Self {
        Self {
            request_id,
            traceparent: None,
        }
    }

    /// The same context as part of a trace.
    #[must_use]
    pub fn with_traceparent(mut self, traceparent: TraceParent) -> Self {
        self.traceparent = Some(traceparent);
        self
    }

    /// The id of the request.
    #[must_use]
    pub const fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// The caller's position in a trace, if it sent a valid one.
    #[must_use]
    pub const fn traceparent(&self) -> Option<TraceParent> {
        self.traceparent
    }

    /// Writes `x-request-id` and `traceparent` into the headers of an outgoing call, so that the
    /// other side's logs name the same request.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.request_id.to_header_value());
        if let Some(traceparent) = self.traceparent {
            headers.insert(TRACEPARENT, traceparent.to_header_value());
        }
    }
}
