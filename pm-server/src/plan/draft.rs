//! An item while its lines are still being read.

use super::identity::Key;
use super::{
    Kind, MAX_DESCRIPTION_BYTES, MAX_LABEL_CHARS, MAX_LABELS, MAX_TITLE_CHARS, OPTIONAL_LABEL,
    PlanItem, REQUIREMENT_PREFIX, Status, text,
};

#[derive(Debug)]
pub(super) struct Draft {
    pub(super) key: Key,
    pub(super) kind: Kind,
    pub(super) parent: Option<usize>,
    /// In full: only the finished item is cut.
    pub(super) title: String,
    pub(super) status: Status,
    pub(super) line: usize,
    description: String,
    labels: Vec<String>,
}

impl Draft {
    pub(super) fn epic(key: Key, title: String, line: usize) -> Self {
        let (kind, status) = (Kind::Epic, Status::Todo);
        let (description, labels) = (String::new(), Vec::new());
        Self {
            key,
            kind,
            parent: None,
            title,
            status,
            line,
            description,
            labels,
        }
    }

    pub(super) fn nested(key: Key, kind: Kind, parent: usize, title: String, line: usize) -> Self {
        Self {
            kind,
            parent: Some(parent),
            ..Self::epic(key, title, line)
        }
    }

    pub(super) fn mark_optional(&mut self) {
        self.labels.push(OPTIONAL_LABEL.to_owned());
    }

    /// Goes on with the title: the line above had no end.
    pub(super) fn add_to_title(&mut self, more: &str) {
        if !self.take_requirements(more) {
            self.title.push(' ');
            self.title.push_str(&text::title(more));
        }
    }

    /// A line of a list inside the item, `depth` lists deep.
    pub(super) fn add_bullet(&mut self, depth: usize, marker: &str, text: &str) {
        if !self.take_requirements(text) {
            self.add_line(depth, marker, text);
        }
    }

    /// Goes on with the bullet or paragraph above.
    pub(super) fn add_text(&mut self, depth: usize, text: &str) {
        if !self.take_requirements(text) {
            self.add_line(depth, "", text);
        }
    }

    /// Text below a blank line.
    pub(super) fn add_paragraph(&mut self, depth: usize, text: &str) {
        if !self.take_requirements(text) {
            if !self.description.is_empty() {
                self.description.push('\n');
            }
            self.add_line(depth, "", text);
        }
    }

    fn add_line(&mut self, depth: usize, marker: &str, text: &str) {
        // What is past the limit is cut in the end; no need to gather it.
        if self.description.len() > MAX_DESCRIPTION_BYTES {
            return;
        }
        if !self.description.is_empty() {
            self.description.push('\n');
        }
        self.description.extend(std::iter::repeat_n("  ", depth));
        if !marker.is_empty() {
            self.description.push_str(marker);
            self.description.push(' ');
        }
        self.description.extend(text::description(text));
    }

    /// Whether the line is one of requirements and all of them became labels.
    fn take_requirements(&mut self, line: &str) -> bool {
        let Some(list) = requirements(line) else {
            return false;
        };
        let mut all = true;
        for requirement in list.split([',', ';']) {
            let requirement = text::title(requirement);
            if requirement.is_empty() {
                continue;
            }
            let label = format!("{REQUIREMENT_PREFIX}{requirement}");
            if self.labels.contains(&label) {
                continue;
            }
            if self.labels.len() < MAX_LABELS && label.chars().count() <= MAX_LABEL_CHARS {
                self.labels.push(label);
            } else {
                all = false;
            }
        }
        all
    }

    pub(super) fn finish(self) -> PlanItem {
        let Self {
            key,
            kind,
            parent,
            mut title,
            status,
            line,
            mut description,
            labels,
        } = self;
        if let Some(cut) = text::cut_to_chars(&title, MAX_TITLE_CHARS) {
            let full = std::mem::replace(&mut title, cut);
            description = match description.is_empty() {
                true => full,
                false => format!("{full}\n\n{description}"),
            };
        }
        let description = text::cut_to_bytes(description, MAX_DESCRIPTION_BYTES);
        PlanItem {
            key,
            kind,
            parent,
            title,
            description,
            labels,
            status,
            line,
        }
    }
}

/// The list in `_Requirements: 1.1, 1.2_`. Without emphasis it is a sentence like any other.
fn requirements(line: &str) -> Option<&str> {
    const EMPHASIS: [char; 2] = ['*', '_'];
    let rest = line.strip_prefix(EMPHASIS)?.trim_matches(EMPHASIS);
    let (word, list) = rest.split_once(':')?;
    let word = word.trim_end_matches(EMPHASIS);
    (word.eq_ignore_ascii_case("requirements") || word.eq_ignore_ascii_case("requirement"))
        .then(|| list.trim_matches(EMPHASIS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_emphasised() {
        for (line, list) in [
            ("_Requirements: 1.1, 1.2_", Some(" 1.1, 1.2")),
            ("*requirement: 7*", Some(" 7")),
            ("**Requirements:** 1.1", Some(" 1.1")),
            ("Requirements: of all kinds", None),
            ("**Validates: Requirements 1.1**", None),
            ("_Requirements_", None),
        ] {
            assert_eq!(requirements(line), list, "{line}");
        }
    }
}
