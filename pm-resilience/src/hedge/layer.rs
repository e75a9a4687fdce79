use tower_layer::Layer;

use super::{Hedge, HedgeService};

/// Hedges each request that is a [read](crate::Class::Read). Made by [`Hedge::layer`].
#[derive(Clone, Debug)]
pub struct HedgeLayer<K, C> {
    hedge: Hedge,
    class_of: K,
    classify: C,
}

impl<K, C> HedgeLayer<K, C> {
    pub(super) const fn new(hedge: Hedge, class_of: K, classify: C) -> Self {
        Self {
            hedge,
            class_of,
            classify,
        }
    }
}

impl<S, K: Clone, C: Clone> Layer<S> for HedgeLayer<K, C> {
    type Service = HedgeService<S, K, C>;

    fn layer(&self, inner: S) -> HedgeService<S, K, C> {
        let (class_of, classify) = (self.class_of.clone(), self.classify.clone());
        HedgeService::new(inner, self.hedge.clone(), class_of, classify)
    }
}
