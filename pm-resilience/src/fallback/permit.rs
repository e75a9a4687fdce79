use std::sync::Arc;

use crate::slots::Slots;

/// A place in a fallback. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Slots>);

impl Permit {
    pub(super) fn try_take(slots: &Arc<Slots>) -> Option<Self> {
        slots.take(slots.ceiling())?;
        Some(Self(Arc::clone(slots)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}
