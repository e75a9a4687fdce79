//! One line of Markdown, judged on its own: what it may start, and how far it is indented.

use super::marker::{Checkbox, checkbox, split_marker};

/// The width of a tab stop in Markdown.
const TAB: usize = 4;

/// A line as the reader sees it. What it means depends on the lines above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The column of the first visible character, tabs expanded.
    pub(super) indent: usize,
    /// Everything between the indentation and the trailing space.
    pub(super) text: &'a str,
    pub(super) shape: Shape<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape<'a> {
    Blank,
    Heading {
        level: usize,
        text: &'a str,
    },
    /// `===` or `---`: a heading below a paragraph, otherwise nothing.
    Underline {
        level: usize,
    },
    Rule,
    Fence(Fence),
    Comment,
    TableRow,
    /// `--- | ---`: the line above, if it is text, was a table's head.
    TableDelimiter,
    Checkbox(Checkbox<'a>),
    Bullet {
        marker: &'a str,
        text: &'a str,
    },
    Text,
}

/// A line that opens or closes fenced code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    mark: char,
    length: usize,
    /// Something follows the marks, so this line can only open.
    has_info: bool,
}

impl Fence {
    pub(super) fn closes(self, opened: Self) -> bool {
        self.mark == opened.mark && self.length >= opened.length && !self.has_info
    }
}

impl<'a> Line<'a> {
    pub(super) fn parse(raw: &'a str) -> Self {
        let (indent, rest) = split_indent(raw);
        let text = rest.trim_end();
        Self {
            indent,
            text,
            shape: Shape::parse(text),
        }
    }
}

impl<'a> Shape<'a> {
    fn parse(text: &'a str) -> Self {
        if text.is_empty() {
            return Self::Blank;
        }
        if let Some(fence) = fence(text) {
            return Self::Fence(fence);
        }
        if text.starts_with("<!--") {
            return Self::Comment;
        }
        if let Some((level, text)) = heading(text) {
            return Self::Heading { level, text };
        }
        if let Some(level) = underline(text) {
            return Self::Underline { level };
        }
        // Before bullets: `* * *` looks like both.
        if is_rule(text) {
            return Self::Rule;
        }
        if is_table_delimiter(text) {
            return Self::TableDelimiter;
        }
        if text.starts_with('|') {
            return Self::TableRow;
        }
        match split_marker(text) {
            Some((marker, text)) => match checkbox(text) {
                Some(checkbox) => Self::Checkbox(checkbox),
                None => Self::Bullet { marker, text },
            },
            None => Self::Text,
        }
    }
}

/// The lines of a text, whichever of the three line endings it uses, even mixed.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return (!text.is_empty()).then_some(text);
        };
        let ending = if text[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = Some(&text[end + ending..]);
        Some(&text[..end])
    })
}

fn split_indent(raw: &str) -> (usize, &str) {
    let mut column = 0;
    for (at, c) in raw.char_indices() {
        match c {
            ' ' => column += 1,
            '\t' => column += TAB - column % TAB,
            _ => return (column, &raw[at..]),
        }
    }
    (column, "")
}

fn fence(text: &str) -> Option<Fence> {
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let info = text.trim_start_matches(mark);
    let length = text.len() - info.len();
    // A backtick after backticks is inline code that begins a paragraph.
    let inline = mark == '`' && info.contains('`');
    (length >= 3 && !inline).then_some(Fence {
        mark,
        length,
        has_info: !info.trim().is_empty(),
    })
}

fn heading(text: &str) -> Option<(usize, &str)> {
    let rest = text.trim_start_matches('#');
    let level = text.len() - rest.len();
    if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let rest = rest.trim();
    let open = rest.trim_end_matches('#');
    let closed = open.is_empty() || open.ends_with([' ', '\t']);
    Some((level, if closed { open.trim_end() } else { rest }))
}

fn underline(text: &str) -> Option<usize> {
    let only = |mark: char| text.trim_start_matches(mark).is_empty();
    if only('=') {
        Some(1)
    } else if only('-') {
        Some(2)
    } else {
        None
    }
}

fn is_rule(text: &str) -> bool {
    ['-', '*', '_'].into_iter().any(|mark| {
        text.chars().filter(|c| *c == mark).count() >= 3
            && text.chars().all(|c| c == mark || c == ' ' || c == '\t')
    })
}

fn is_table_delimiter(text: &str) -> bool {
    text.contains('|')
        && text.contains('-')
        && text
            .chars()
            .all(|c| matches!(c, '|' | '-' | ':' | ' ' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape<'_> {
        Line::parse(text).shape
    }

    #[test]
    fn indentation_counts_columns() {
        for (raw, indent) in [
            ("a", 0),
            ("  a", 2),
            ("\ta", 4),
            ("  \ta", 4),
            ("\t a", 5),
            ("    \ta", 8),
        ] {
            assert_eq!(Line::parse(raw).indent, indent, "{raw:?}");
        }
    }

    #[test]
    fn headings_need_a_space_and_at_most_six_marks() {
        assert_eq!(
            shape("## Two ##"),
            Shape::Heading {
                level: 2,
                text: "Two"
            }
        );
        assert_eq!(
            shape("# C#"),
            Shape::Heading {
                level: 1,
                text: "C#"
            }
        );
        assert_eq!(shape("#"), Shape::Heading { level: 1, text: "" });
        assert_eq!(shape("### ###"), Shape::Heading { level: 3, text: "" });
        assert_eq!(shape("#tag"), Shape::Text);
        assert_eq!(shape("####### seven"), Shape::Text);
    }

    #[test]
    fn rules_underlines_and_tables_are_no_bullets() {
        assert_eq!(shape("---"), Shape::Underline { level: 2 });
        assert_eq!(shape("="), Shape::Underline { level: 1 });
        assert_eq!(shape("* * *"), Shape::Rule);
        assert_eq!(shape("___"), Shape::Rule);
        assert_eq!(shape("| a |"), Shape::TableRow);
        assert_eq!(shape(":--|--:"), Shape::TableDelimiter);
    }

    #[test]
    fn a_fence_is_closed_by_its_own_mark_at_least_as_long() {
        let parsed = |text| match shape(text) {
            Shape::Fence(fence) => fence,
            other => panic!("{other:?}"),
        };
        let opened = parsed("````rust");
        assert!(parsed("`````").closes(opened));
        assert!(!parsed("```").closes(opened));
        assert!(!parsed("~~~~").closes(opened));
        assert!(!parsed("````rust").closes(opened));
        assert_eq!(shape("```not a fence```"), Shape::Text);
    }

    #[test]
    fn all_three_line_endings_end_a_line() {
        let all: Vec<_> = lines("a\nb\r\nc\rd\n\ne").collect();
        assert_eq!(all, ["a", "b", "c", "d", "", "e"]);
        assert_eq!(lines("a\n").count(), 1);
        assert_eq!(lines("").count(), 0);
    }
}
