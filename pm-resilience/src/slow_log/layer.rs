use std::fmt;

use tower_layer::Layer;

use super::{SlowLog, SlowLogService};

/// Tells of each request that was slow. Made by [`SlowLog::layer`].
#[derive(Clone)]
pub struct SlowLogLayer<O, K> {
    log: SlowLog,
    operation_of: O,
    class_of: K,
}

impl<O, K> SlowLogLayer<O, K> {
    pub(super) const fn new(log: SlowLog, operation_of: O, class_of: K) -> Self {
        Self {
            log,
            operation_of,
            class_of,
        }
    }
}

impl<S, O: Clone, K: Clone> Layer<S> for SlowLogLayer<O, K> {
    type Service = SlowLogService<S, O, K>;

    fn layer(&self, inner: S) -> SlowLogService<S, O, K> {
        let (operation_of, class_of) = (self.operation_of.clone(), self.class_of.clone());
        SlowLogService::new(inner, self.log.clone(), operation_of, class_of)
    }
}

impl<O, K> fmt::Debug for SlowLogLayer<O, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowLogLayer")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}
