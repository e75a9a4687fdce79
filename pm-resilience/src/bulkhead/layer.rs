use tower_layer::Layer;

use super::{Bulkhead, BulkheadService};

/// Makes outgoing calls only with a permit of a [`Bulkhead`], waiting for one as its settings say.
///
/// All services that it builds share the permits. The permit of a call is freed when its response is
/// ready, or has failed, or is not wanted any more.
#[derive(Clone, Debug)]
pub struct BulkheadLayer(Bulkhead);

impl BulkheadLayer {
    /// With the permits of this bulkhead.
    #[must_use]
    pub const fn new(bulkhead: Bulkhead) -> Self {
        Self(bulkhead)
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = BulkheadService<S>;

    fn layer(&self, inner: S) -> BulkheadService<S> {
        BulkheadService::new(inner, self.0.clone())
    }
}
