//! Between the schema (`proto/pm/v1`) and the domain: parse on the way in, render on the way out.
//!
//! What comes in is hostile: [`decode`] answers every impossible value with the path and the rule it
//! breaks. What goes out is ours: [`encode`] cannot fail. [`event`] reads back what [`encode`] wrote,
//! for clients.

pub mod decode;
pub mod encode;
pub mod event;
