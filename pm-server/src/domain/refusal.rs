use super::{Id, Lane, Subject};

/// Why a mutation was not applied. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// What was asked for cannot be, whatever the state.
    #[error("{}", join(.0))]
    Invalid(Vec<Violation>),
    /// There is nothing with this id, or it was deleted.
    #[error("there is no {what} {id}; it may have been deleted")]
    NotFound {
        /// `project`, `item`, `parent` or `neighbour`.
        what: &'static str,
        /// The id that was asked for.
        id: Id,
    },
    /// The id is in use. `None`: by something that was deleted.
    #[error("this id is already in use; choose a new one")]
    AlreadyExists(Option<Box<Subject>>),
    /// Somebody was faster.
    #[error(
        "expected version {expected}, but it is {actual}; look at the current state and decide again"
    )]
    Conflict {
        /// The version the client had seen.
        expected: u64,
        /// The version there is.
        actual: u64,
        /// What there is.
        current: Box<Subject>,
    },
    /// The hierarchy would be broken.
    #[error("{0}")]
    Hierarchy(&'static str),
    /// The project is archived.
    #[error("the project is archived; take it out of the archive first")]
    Archived,
    /// The mutation's id was used before, for another operation.
    #[error("this mutation id was used for another operation; a new change needs a new id")]
    MutationReused,
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which field, as in the schema: `fields.title`.
    pub path: &'static str,
    /// Which rule, stable: `too_long`.
    pub rule: &'static str,
    /// What is wrong and what would be right.
    pub text: String,
}

impl Violation {
    pub(crate) fn new(path: &'static str, rule: &'static str, text: impl Into<String>) -> Self {
        Self {
            path,
            rule,
            text: text.into(),
        }
    }
}

impl Refusal {
    /// A refusal for a single violation.
    pub(crate) fn invalid(path: &'static str, rule: &'static str, text: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(path, rule, text)])
    }

    pub(super) fn no_neighbour(id: Id, lane: Lane) -> Self {
        let place = if lane.parent.is_some() {
            "below this parent"
        } else {
            "at this level"
        };
        Self::invalid(
            "place",
            "not_a_sibling",
            format!("{id} does not stand {place}"),
        )
    }
}

/// Checks a text of one line: not blank, not too long, nothing that moves a cursor.
pub(super) fn check_line(
    path: &'static str,
    text: &str,
    max_chars: usize,
    violations: &mut Vec<Violation>,
) {
    // Bytes first: counting the characters of ten megabytes is work an attacker would like.
    if text.len() > max_chars * 4 || text.chars().count() > max_chars {
        let wanted = format!("it may have at most {max_chars} characters");
        violations.push(Violation::new(path, "too_long", wanted));
    } else if text.trim().is_empty() {
        violations.push(Violation::new(path, "blank", "it must not be blank"));
    } else if text.chars().any(char::is_control) {
        let wanted = "it must be one line without control characters";
        violations.push(Violation::new(path, "control_character", wanted));
    }
}

fn join(violations: &[Violation]) -> String {
    let parts: Vec<_> = violations
        .iter()
        .map(|v| format!("{}: {}", v.path, v.text))
        .collect();
    parts.join("; ")
}
