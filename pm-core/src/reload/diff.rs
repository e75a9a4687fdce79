//! What changed, for the log: settings may be long, and a change is mostly one field.

use std::fmt::Debug;

/// Bytes of each side that a log line has room for.
const LONGEST: usize = 1_000;

/// The lines of the pretty `Debug` output from the first to the last that differ, old and new.
pub(super) fn changed(old: &impl Debug, new: &impl Debug) -> (String, String) {
    let (old, new) = (format!("{old:#?}"), format!("{new:#?}"));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let front = old.iter().zip(&new).take_while(same).count();
    let (old, new) = (&old[front..], &new[front..]);
    let back = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(same)
        .count();
    (
        one_line(&old[..old.len() - back]),
        one_line(&new[..new.len() - back]),
    )
}

fn one_line(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(line.trim());
    }
    let text = text.trim_end_matches(',');
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(LONGEST)])
}

#[cfg(test)]
mod tests {
    use super::super::Redacted;
    use super::*;

    #[derive(Debug)]
    #[allow(dead_code, reason = "read by Debug")]
    struct Mail {
        host: &'static str,
        retries: Vec<u32>,
        password: Redacted<&'static str>,
    }

    fn mail(host: &'static str, retries: &[u32], password: &'static str) -> Mail {
        Mail {
            host,
            retries: retries.to_vec(),
            password: Redacted(password),
        }
    }

    #[test]
    fn only_what_differs_is_shown_and_never_a_secret() {
        let old = mail("a", &[1, 2], "old");
        let cases = [
            (mail("b", &[1, 2], "old"), r#"host: "a""#, r#"host: "b""#),
            (mail("a", &[1, 3, 4], "new"), "2", "3, 4"),
            (mail("a", &[1], "old"), "2", ""),
            (mail("a", &[1, 2], "new"), "", ""),
        ];
        for (new, before, after) in cases {
            assert_eq!(changed(&old, &new), (before.to_owned(), after.to_owned()));
        }
    }

    #[test]
    fn a_line_of_the_log_is_bounded() {
        let (old, new) = changed(&"ä".repeat(5_000), &"ö".repeat(5_000));
        assert!(old.len() < LONGEST + 4 && new.ends_with('…'));
    }
}
