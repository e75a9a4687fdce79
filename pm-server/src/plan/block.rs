//! Stretches of a file in which no line means anything.

use super::What;
use super::line::{Fence, Line, Shape, lines};

#[derive(Debug, Clone, Copy)]
pub(super) enum Block {
    Code {
        fence: Fence,
        indent: usize,
        /// The indentation of the list line it is in.
        inside: Option<usize>,
    },
    Comment,
}

/// Where a line below the start of a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Inside,
    Last,
    /// The block had ended before it.
    Below,
}

impl Block {
    pub(super) fn stand(self, line: &Line<'_>) -> Stand {
        let last = match self {
            Self::Comment => line.text.contains("-->"),
            Self::Code {
                fence,
                indent,
                inside,
            } => match line.shape {
                Shape::Blank => false,
                _ if inside.is_some_and(|inside| line.indent <= inside) => return Stand::Below,
                // Four columns further in, it is a line of the code.
                Shape::Fence(end) => end.closes(fence) && line.indent < indent + 4,
                _ => false,
            },
        };
        if last { Stand::Last } else { Stand::Inside }
    }

    /// What it is if the file ends in it.
    pub(super) fn unclosed(self) -> What {
        match self {
            Self::Code { .. } => What::UnclosedCode,
            Self::Comment => What::UnclosedComment,
        }
    }
}

/// How many lines of YAML the file begins with. A plan may also begin with a rule.
pub(super) fn front_matter(text: &str) -> Option<usize> {
    let mut lines = lines(text);
    if lines.next()?.trim_end() != "---" {
        return None;
    }
    let (name, _) = lines.next()?.split_once(':')?;
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    {
        return None;
    }
    let end = lines.position(|line| matches!(line.trim_end(), "---" | "..."))?;
    Some(end + 3)
}
