//! What begins a line of a list: its marker, and the box behind it.

use super::{Status, What};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkbox<'a> {
    pub(super) status: Status,
    pub(super) optional: bool,
    /// Empty when there is nothing after the box.
    pub(super) text: &'a str,
}

/// Why a line of a list that starts nothing was passed over.
pub(super) fn what_is(marker: &str) -> What {
    if marker.starts_with(|c: char| c.is_ascii_digit()) {
        What::Numbered
    } else {
        What::Bullet
    }
}

/// Splits `- text` or `12. text`. A marker with nothing behind it is a line of a list all the same.
pub(super) fn split_marker(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length = match text.as_bytes().get(digits)? {
        b'-' | b'*' | b'+' if digits == 0 => 1,
        // Ten digits are no list number in Markdown.
        b'.' | b')' if (1..=9).contains(&digits) => digits + 1,
        _ => return None,
    };
    let (marker, rest) = text.split_at(length);
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| (marker, rest.trim()))
}

pub(super) fn checkbox(text: &str) -> Option<Checkbox<'_>> {
    if let Some(rest) = text.strip_prefix('✅') {
        // Many editors add the selector that asks for the coloured glyph.
        let text = rest.trim_start_matches('\u{fe0f}').trim();
        return Some(Checkbox {
            status: Status::Done,
            optional: false,
            text,
        });
    }
    let mut chars = text.strip_prefix('[')?.chars();
    let status = match chars.next()? {
        'x' | 'X' => Status::Done,
        // Begun, in the habits of several tools: not done.
        '-' | '/' | '~' => Status::Todo,
        c if c.is_whitespace() => Status::Todo,
        _ => return None,
    };
    let rest = chars.as_str().strip_prefix(']')?;
    let (optional, rest) = match rest.strip_prefix('*') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    // `[x](address)` is a link.
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| Checkbox {
        status,
        optional,
        text: rest.trim(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::line::{Line, Shape};

    fn shape(text: &str) -> Shape<'_> {
        Line::parse(text).shape
    }

    fn boxed(text: &str) -> Option<(Status, bool, &str)> {
        match shape(text) {
            Shape::Checkbox(c) => Some((c.status, c.optional, c.text)),
            _ => None,
        }
    }

    #[test]
    fn every_marker_carries_a_checkbox() {
        for marker in ["-", "*", "+", "1.", "12)"] {
            let text = format!("{marker} [ ] write");
            assert_eq!(boxed(&text), Some((Status::Todo, false, "write")), "{text}");
        }
        assert_eq!(boxed("-[ ] write"), None);
        assert_eq!(boxed("1234567890. [ ] write"), None);
    }

    #[test]
    fn boxes_are_read_and_what_only_looks_like_one_is_not() {
        assert_eq!(boxed("- [x] a"), Some((Status::Done, false, "a")));
        assert_eq!(boxed("- [X]\ta"), Some((Status::Done, false, "a")));
        assert_eq!(boxed("- [ ]* 1.2 a"), Some((Status::Todo, true, "1.2 a")));
        assert_eq!(boxed("- [-] a"), Some((Status::Todo, false, "a")));
        assert_eq!(boxed("- ✅ a"), Some((Status::Done, false, "a")));
        assert_eq!(boxed("- ✅\u{fe0f} a"), Some((Status::Done, false, "a")));
        assert_eq!(boxed("- [ ]"), Some((Status::Todo, false, "")));
        for text in [
            "- [x](address)",
            "- [ ]*a* b",
            "- [1] note",
            "- [] a",
            "- \\[ ] a",
            "- [xx] a",
        ] {
            assert!(matches!(shape(text), Shape::Bullet { .. }), "{text}");
        }
    }
}
