//! The JSON of the REST answers. Ids are UUID text, times are RFC 3339, order is that of arrays.

mod activity;
mod item;
mod project;
mod time;

pub(super) use self::{activity::ItemActivity, project::ProjectContext};
