use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tower_layer::Layer;

use super::PolicyService;
use super::hold::{Owned, Parts};
use crate::ByMethod;
use crate::breaker::{BodyEnd, Head};

/// Guards an HTTP client by a [`Policy`](super::Policy). Made by
/// [`Policy::layer`](super::Policy::layer).
///
/// What is retried, and how its body is kept, is as for [`RetryLayer`](crate::RetryLayer). A request
/// under a [`Deadline`](crate::Deadline) tells how long its attempt has, in the
/// [header](crate::deadline#headers). The slow log calls it by the
/// [`OperationName`](crate::slow_log::OperationName) in its extensions. The state is the policy's, however often it is applied.
pub struct PolicyLayer<C, K = ByMethod, U = Head> {
    parts: Arc<Parts<C>>,
    class_of: K,
    until: PhantomData<fn() -> U>,
}

impl<C, K, U> PolicyLayer<C, K, U> {
    pub(super) const fn new(parts: Arc<Parts<C>>, class_of: K) -> Self {
        Self {
            parts,
            class_of,
            until: PhantomData,
        }
    }

    /// The same, where an attempt lasts for the breaker until the body of its response has
    /// [ended](BodyEnd): a body that fails behind a good head is a failure. It is not retried. The
    /// classifier of the policy has to be a
    /// [`ClassifyStream`](crate::classify::ClassifyStream), such as [`Http`](crate::classify::Http).
    #[must_use]
    pub fn until_body_end(self) -> PolicyLayer<C, K, BodyEnd> {
        PolicyLayer::new(self.parts, self.class_of)
    }
}

impl<S, C, K: Clone, U> Layer<S> for PolicyLayer<C, K, U> {
    type Service = PolicyService<S, C, K, U>;

    fn layer(&self, inner: S) -> PolicyService<S, C, K, U> {
        let hold = Owned(Arc::clone(&self.parts));
        PolicyService::new(inner, hold, self.class_of.clone())
    }
}

impl<C, K: Clone, U> Clone for PolicyLayer<C, K, U> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.parts), self.class_of.clone())
    }
}

impl<C, K, U> fmt::Debug for PolicyLayer<C, K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyLayer")
            .field("policy", &self.parts.name)
            .finish_non_exhaustive()
    }
}
