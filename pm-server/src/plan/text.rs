//! Text on its way into a backlog: harmless characters, bounded lengths.

/// Stands for a control character that has no business in a title or description.
const REPLACEMENT: char = '\u{fffd}';
const ELLIPSIS: &str = "…";
/// `***both***` is two; more is a wall of asterisks, and looking at all of it costs a square.
const MAX_UNWRAPPED: usize = 2;

/// A title or label: one line, single spaces, without emphasis around the whole.
pub(super) fn title(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().map(harmless));
    }
    let bare = unwrap_emphasis(&line);
    if bare.len() == line.len() {
        line
    } else {
        bare.to_owned()
    }
}

/// A line of a description: Markdown as it was written.
pub(super) fn description(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(harmless)
}

fn harmless(c: char) -> char {
    if c.is_control() && c != '\t' && c != '\n' {
        REPLACEMENT
    } else {
        c
    }
}

/// `**text**` becomes `text`; `**two** words` and `snake_case` stay, since half of a pair would lie.
fn unwrap_emphasis(text: &str) -> &str {
    let mut text = text;
    for _ in 0..MAX_UNWRAPPED {
        let inner = ["**", "__", "*", "_"].into_iter().find_map(|mark| {
            let inner = text.strip_prefix(mark)?.strip_suffix(mark)?;
            (!inner.trim().is_empty() && !inner.contains(mark)).then_some(inner.trim())
        });
        match inner {
            Some(inner) => text = inner,
            None => break,
        }
    }
    text
}

/// The first `max` characters, the last of them an ellipsis; nothing if the text fits.
pub(super) fn cut_to_chars(text: &str, max: usize) -> Option<String> {
    text.char_indices().nth(max)?;
    let end = text
        .char_indices()
        .nth(max - 1)
        .map_or(text.len(), |(at, _)| at);
    Some(format!("{}{ELLIPSIS}", text[..end].trim_end()))
}

/// At most `max` bytes, the last of them an ellipsis if something had to go.
pub(super) fn cut_to_bytes(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = text.floor_char_boundary(max - ELLIPSIS.len());
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_without_emphasis_around_it() {
        for (text, expected) in [
            ("  two \t words ", "two words"),
            ("**bold**", "bold"),
            ("***both***", "both"),
            ("_it_ and _that_", "_it_ and _that_"),
            ("**Goal**: win", "**Goal**: win"),
            ("snake_case", "snake_case"),
            ("****", "****"),
            ("`code`", "`code`"),
            ("bell \u{7} rings", "bell \u{fffd} rings"),
        ] {
            assert_eq!(title(text), expected);
        }
    }

    #[test]
    fn cuts_count_characters_and_bytes_and_split_neither() {
        assert_eq!(cut_to_chars("äöü", 3), None);
        assert_eq!(cut_to_chars("äöüß", 3).as_deref(), Some("äö…"));
        assert_eq!(cut_to_bytes("abc".into(), 3), "abc");
        assert_eq!(cut_to_bytes("ääää".into(), 7), "ää…");
        assert_eq!(cut_to_bytes("ääää".into(), 6), "ä…");
    }
}
