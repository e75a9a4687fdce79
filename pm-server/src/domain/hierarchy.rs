use super::{Kind, Refusal};

/// The most levels of a project, the top one included.
pub const MAX_DEPTH: usize = 8;

/// Whether an item of `kind` may stand below `parent`, `None` being the top of a project.
pub(super) fn check_parent(kind: Kind, parent: Option<Kind>) -> Result<(), Refusal> {
    let rule = match (kind, parent) {
        (Kind::Epic, None)
        | (Kind::Story, None | Some(Kind::Epic))
        | (Kind::Task, Some(Kind::Story | Kind::Task)) => return Ok(()),
        (Kind::Epic, Some(_)) => "an epic stands at the top of its project, without a parent",
        (Kind::Story, Some(_)) => "a story stands at the top of its project or below an epic",
        (Kind::Task, _) => "a task stands below a story or another task",
    };
    Err(Refusal::Hierarchy(rule))
}

/// Whether a tree of `height` levels may hang below an item at `depth` (the top has depth 1,
/// `depth` 0 stands for the project itself).
pub(super) fn check_depth(depth: usize, height: usize) -> Result<(), Refusal> {
    if depth + height > MAX_DEPTH {
        return Err(Refusal::Hierarchy("a project has at most 8 levels"));
    }
    Ok(())
}
