use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::PolicyService;
use super::hold::{Owned, Parts};
use crate::ByMethod;

/// In a request's extensions: what the slow log calls it. Without it, it is `http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperationName(pub &'static str);

/// Guards an HTTP client by a [`Policy`](super::Policy). Made by
/// [`Policy::layer`](super::Policy::layer).
///
/// What is retried, and how its body is kept, is as for [`RetryLayer`](crate::RetryLayer). A request
/// under a [`Deadline`](crate::Deadline) tells how long its attempt has, in the
/// [header](crate::deadline#headers). The state is the policy's, however often it is applied.
pub struct PolicyLayer<C, K = ByMethod> {
    parts: Arc<Parts<C>>,
    class_of: K,
}

impl<C, K> PolicyLayer<C, K> {
    pub(super) const fn new(parts: Arc<Parts<C>>, class_of: K) -> Self {
        Self { parts, class_of }
    }
}

impl<S, C, K: Clone> Layer<S> for PolicyLayer<C, K> {
    type Service = PolicyService<S, C, K>;

    fn layer(&self, inner: S) -> PolicyService<S, C, K> {
        let hold = Owned(Arc::clone(&self.parts));
        PolicyService::new(inner, hold, self.class_of.clone())
    }
}

impl<C, K: Clone> Clone for PolicyLayer<C, K> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.parts), self.class_of.clone())
    }
}

impl<C, K> fmt::Debug for PolicyLayer<C, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyLayer")
            .field("policy", &self.parts.name)
            .finish_non_exhaustive()
    }
}
