//! The primitives that loom replaces when it explores every interleaving.

#[cfg(not(pm_loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(pm_loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
