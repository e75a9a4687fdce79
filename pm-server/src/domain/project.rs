use super::{
    Id,
    refusal::{Violation, check_line},
};

/// The longest name of a project, in characters.
pub const MAX_PROJECT_NAME_CHARS: usize = 200;

/// A project: a named forest of work items, and the unit that a client subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Chosen by whoever created it.
    pub id: Id,
    /// 1 to [`MAX_PROJECT_NAME_CHARS`] characters; two projects may have the same one.
    pub name: String,
    /// An archived project can be read and taken back, nothing else.
    pub archived: bool,
    /// Grows by one with each change of the project itself.
    pub version: u64,
    /// Microseconds since 1970, UTC.
    pub created_at_us: i64,
    /// Microseconds since 1970, UTC.
    pub updated_at_us: i64,
}

/// Says what is wrong with `name` as the name of a project.
pub(super) fn check_name(name: &str, violations: &mut Vec<Violation>) {
    check_line("name", name, MAX_PROJECT_NAME_CHARS, violations);
}
