use std::fmt;
use std::hash::Hash;

use super::{Breaker, KeyedBreakers};

/// Tells which breaker guards a request. Implemented for a [`Breaker`], which guards all of them, and
/// for [`ByKey`].
pub trait BreakerOf<Req> {
    /// The breaker of this request.
    fn breaker_of(&self, request: &Req) -> Breaker;
}

impl<Req> BreakerOf<Req> for Breaker {
    #[inline]
    fn breaker_of(&self, _: &Req) -> Breaker {
        self.clone()
    }
}

/// The breaker of a request's key; in [`BreakerLayer::keyed`](super::BreakerLayer::keyed).
pub struct ByKey<K, F> {
    breakers: KeyedBreakers<K>,
    key_of: F,
}

impl<K, F> ByKey<K, F> {
    pub(super) const fn new(breakers: KeyedBreakers<K>, key_of: F) -> Self {
        Self { breakers, key_of }
    }
}

impl<Req, K, F> BreakerOf<Req> for ByKey<K, F>
where
    K: Clone + Eq + Hash + fmt::Debug,
    F: Fn(&Req) -> K,
{
    fn breaker_of(&self, request: &Req) -> Breaker {
        self.breakers.get(&(self.key_of)(request))
    }
}

impl<K, F: Clone> Clone for ByKey<K, F> {
    fn clone(&self) -> Self {
        Self::new(self.breakers.clone(), self.key_of.clone())
    }
}

impl<K, F> fmt::Debug for ByKey<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey")
            .field("breakers", &self.breakers)
            .finish_non_exhaustive()
    }
}
