use std::fmt::{self, Write};

/// Shows a text of others on a terminal as it is, without letting it act there: what would move
/// the cursor, change colours, reorder the line or end it is written as an escape.
#[derive(Clone, Copy, Debug)]
pub struct Visible<'a>(pub &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if acts(c) {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' // marks without a width
            | '\u{2028}' | '\u{2029}'                        // line and paragraph separators
            | '\u{202a}'..='\u{202e}'                        // bidirectional embeddings, overrides
            | '\u{2060}'..='\u{206f}'                        // isolates and invisible operators
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}') // tags: text that nobody sees
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let text = "Größe: 5 µs — \"fine\" \\o/ 日本語 👩\u{200d}💻";
        assert_eq!(Visible(text).to_string(), text);
    }

    #[test]
    fn what_acts_on_a_terminal_is_written_out() {
        let hostile = "a\u{1b}[2Jb\r\nc\u{9b}31md\u{202e}e\u{7f}\u{2028}\u{e0041}\t";
        assert_eq!(
            Visible(hostile).to_string(),
            r"a\u{1b}[2Jb\r\nc\u{9b}31md\u{202e}e\u{7f}\u{2028}\u{e0041}\t"
        );
    }
}
