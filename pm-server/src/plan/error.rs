//! Why a file is no plan, each with what to do about it.

use super::{MAX_FILE_BYTES, What};

/// A file that cannot be imported. Lines that are merely passed over are [`super::Skipped`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Nothing but white space.
    #[error("the plan is empty: write a heading and below it a line such as `- [ ] first story`")]
    Empty,
    /// A byte that no Markdown file has: a NUL, or the start of something that is not UTF-8.
    #[error("not a Markdown file (byte {offset} is not UTF-8 text): save the plan as UTF-8 text")]
    NotText {
        /// How many bytes before it were fine.
        offset: usize,
    },
    /// More than [`MAX_FILE_BYTES`].
    #[error(
        "the plan has {bytes} bytes and {MAX_FILE_BYTES} are allowed: split it into several files"
    )]
    TooLarge {
        /// The size of the file.
        bytes: usize,
    },
    /// Text, but no checkbox in it.
    #[error(
        "the plan has no checkbox: start every story with `- [ ]`, or with `- [x]` if it is done"
    )]
    NoItems,
    /// No checkbox above the place where something swallows the rest of the file.
    #[error("no checkbox before line {line}, which opens {what}: close it")]
    NeverClosed {
        /// The line that opens it.
        line: usize,
        /// What it opens.
        what: What,
    },
}
