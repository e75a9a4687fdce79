//! Reads a Markdown plan: headings and checkboxes in, epics, stories and tasks out. No I/O.
//!
//! ```markdown
//! # Roadmap                          the title, since nothing hangs on it directly
//!
//! ## First release                   an epic: the nearest heading above its stories
//!
//! Why this comes first.              its description
//!
//! - [x] 1. Lay the ground            a story, done
//!   - [ ]* 1.1 Measure it            a task with the label `optional`
//!     - on two machines              its description
//!     - _Requirements: 1.1, 1.2_     its labels `req:1.1` and `req:1.2`
//!   - ✅ 1.2 Write it down           a task, done
//! ```
//!
//! # What makes structure
//!
//! **Only headings and checkboxes do**, so other lines come and go without moving an item or changing its
//! [id](identity).
//!
//! * An epic is the nearest heading above its stories. A heading without stories makes none, and gives
//!   its name to the paths below it. Checkboxes above the first heading get one epic, named after the
//!   plan. An epic has no box, so its status is to do.
//! * The title of the plan is the first `#` heading. If that is an epic and there are other `#` headings,
//!   they divide the plan, and the title is the name of the file without its extension.
//! * A checkbox (`-`, `*`, `+`, `1.`, `1)`; `[ ]`, `[x]`, `[X]`, `✅`) is a task of the nearest checkbox
//!   above it that is indented less, and a story if there is none below the same heading. `[-]`, `[/]` and
//!   `[~]`, in other tools' plans, are to do. A tab goes to the next multiple of four columns. Four
//!   spaces do not make a checkbox code, since a plan means its checkboxes.
//! * What is nested deeper than [`MAX_DEPTH`] hangs on the deepest ancestor that may have children.
//!
//! # What goes where
//!
//! * Bullets, numbered lines and paragraphs nested in an item are its description, as Markdown. Text that
//!   goes on below a checkbox without a blank line goes on with its title, as it does in Markdown.
//! * `_Requirements: 1.1, 1.2_`, nested in an item, becomes one label each. If one has no room
//!   ([`MAX_LABELS`], [`MAX_LABEL_CHARS`]), the line stays as text as well.
//! * Text between a heading and its first list is the epic's description, without a last line that only
//!   introduces the list (`Deliverables:`). Other text outside items is commentary and passed over.
//! * Titles are one line. Emphasis around a whole title goes, other Markdown stays as it was written.
//!   A title that is too long is cut, and stands in full at the top of the description.
//! * Fenced code, tables and comments anywhere, bullets and numbered lines outside items, boxes without
//!   text and YAML front matter are passed over and listed as [`Skipped`]. A list is listed by its
//!   outermost lines, a block by its first.
//! * A fence inside a list ends with its item, as in Markdown; outside one it ends where it is closed,
//!   or never, which is listed as such.
//!
//! The reader is ours and not a CommonMark parser: line numbers, `[ ]*` and one-space nesting have to
//! survive, and a rule that only headings and checkboxes make structure is none of CommonMark's.

mod block;
mod draft;
mod error;
pub mod identity;
pub mod invariants;
mod line;
mod marker;
mod nesting;
mod outline;
mod reader;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

pub use error::PlanError;
pub use identity::Source;

use crate::domain::{
    Kind, MAX_DEPTH, MAX_DESCRIPTION_BYTES, MAX_LABEL_CHARS, MAX_LABELS, MAX_TITLE_CHARS, Status,
};

/// The largest file that is read.
pub const MAX_FILE_BYTES: usize = 8 * 1024 * 1024;
/// The label of an item whose box is followed by `*`.
pub const OPTIONAL_LABEL: &str = "optional";
/// What a requirement's label begins with.
pub const REQUIREMENT_PREFIX: &str = "req:";

/// A plan, ready to become a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to call the project.
    pub title: String,
    /// At least one epic and one story, in the order of the file, parents before children.
    pub items: Vec<PlanItem>,
    /// What the file holds besides, in the order of the file.
    pub skipped: Vec<Skipped>,
}

impl Plan {
    /// How many items are of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.items.iter().filter(|item| item.kind == kind).count()
    }
}

/// An epic, story or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanItem {
    /// Where it stands, from which [`Source::entity`] makes its id.
    pub key: identity::Key,
    /// What it is.
    pub kind: Kind,
    /// The index of its parent in [`Plan::items`]; none for an epic.
    pub parent: Option<usize>,
    /// One line of 1 to [`MAX_TITLE_CHARS`] characters.
    pub title: String,
    /// Markdown, at most [`MAX_DESCRIPTION_BYTES`] long, often empty.
    pub description: String,
    /// No two alike, at most [`MAX_LABELS`], each of 1 to [`MAX_LABEL_CHARS`] characters.
    pub labels: Vec<String>,
    /// What its box says.
    pub status: Status,
    /// The line of the file that it is from, counted from 1.
    pub line: usize,
}

/// Something in the file that became no item and no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// Its first line, counted from 1.
    pub line: usize,
    /// What it is.
    pub what: What,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// What was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// YAML between `---` lines at the top of the file.
    FrontMatter,
    /// Code between fences.
    Code,
    /// Code to the end of the file, since nothing closes it.
    UnclosedCode,
    /// An HTML comment.
    Comment,
    /// A comment to the end of the file, since nothing closes it.
    UnclosedComment,
    /// A table.
    Table,
    /// A plain bullet outside items, with all that is nested in it.
    Bullet,
    /// A numbered line outside items, with all that is nested in it.
    Numbered,
    /// A box with nothing behind it.
    EmptyCheckbox,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FrontMatter => "front matter",
            Self::Code => "a code block",
            Self::UnclosedCode => "a code block that is never closed",
            Self::Comment => "a comment",
            Self::UnclosedComment => "a comment that is never closed",
            Self::Table => "a table",
            Self::Bullet => "a bullet without a box",
            Self::Numbered => "a numbered line without a box",
            Self::EmptyCheckbox => "a box without text",
        })
    }
}

/// Reads a plan. The name of the file is its title if nothing in it is.
///
/// # Errors
///
/// If the file is empty, too large, not text, or has no checkbox; each error says what to do.
pub fn read(bytes: &[u8], file_name: &str) -> Result<Plan, PlanError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(PlanError::TooLarge { bytes: bytes.len() });
    }
    let text = str::from_utf8(bytes).map_err(|error| PlanError::NotText {
        offset: error.valid_up_to(),
    })?;
    // Text never has a NUL; images and archives that happen to be valid UTF-8 do.
    if let Some(offset) = text.find('\0') {
        return Err(PlanError::NotText { offset });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(PlanError::Empty);
    }
    reader::Reader::default().read(text, &stem(file_name))
}

/// A name without folders, as either kind of system writes them.
fn base_name(file_name: &str) -> &str {
    file_name.rsplit(['/', '\\']).next().unwrap_or(file_name)
}

fn stem(file_name: &str) -> String {
    let base = base_name(file_name);
    let stem = match base.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => base,
    };
    let title = text::title(stem);
    if title.is_empty() {
        "plan".to_owned()
    } else {
        title
    }
}
