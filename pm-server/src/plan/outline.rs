//! The headings above a line, and which of them is the plan's title.

use super::draft::Draft;
use super::identity::{Key, Siblings};

/// A heading under which lines still fall.
#[derive(Debug)]
pub(super) struct Heading<'a> {
    level: usize,
    key: Key,
    title: String,
    line: usize,
    /// The index of its epic, once it has a story.
    pub(super) epic: Option<usize>,
    /// The paragraphs above its first list, table or code, each with its lines.
    prose: Vec<Vec<&'a str>>,
    takes_prose: bool,
    is_first: bool,
}

impl Heading<'_> {
    /// The epic that it is if something hangs on it.
    pub(super) fn draft(&mut self) -> Draft {
        let mut draft = Draft::epic(self.key, self.title.clone(), self.line);
        for paragraph in std::mem::take(&mut self.prose) {
            for (at, line) in paragraph.into_iter().enumerate() {
                match at {
                    0 => draft.add_paragraph(0, line),
                    _ => draft.add_text(0, line),
                }
            }
        }
        draft
    }
}

#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    /// Outermost first; the last is the nearest above.
    open: Vec<Heading<'a>>,
    /// The first `#` heading, and whether it is an epic itself.
    first: Option<(String, bool)>,
    top_headings: usize,
}

impl<'a> Outline<'a> {
    pub(super) fn enter(
        &mut self,
        level: usize,
        title: String,
        line: usize,
        siblings: &mut Siblings,
    ) {
        while self.open.last().is_some_and(|above| above.level >= level) {
            self.open.pop();
        }
        let above = self.open.last().map_or_else(Key::root, |above| above.key);
        let key = siblings.heading(above, &title);
        let is_first = level == 1 && self.first.is_none();
        if is_first {
            self.first = Some((title.clone(), false));
        }
        self.top_headings += usize::from(level == 1);
        let (epic, prose, takes_prose) = (None, Vec::new(), true);
        self.open.push(Heading {
            level,
            key,
            title,
            line,
            epic,
            prose,
            takes_prose,
            is_first,
        });
    }

    pub(super) fn nearest(&mut self) -> Option<&mut Heading<'a>> {
        self.open.last_mut()
    }

    /// The nearest heading is an epic from here on.
    pub(super) fn make_epic(&mut self, index: usize) {
        let Some(heading) = self.open.last_mut() else {
            return;
        };
        heading.epic = Some(index);
        if let Some((_, is_epic)) = self.first.as_mut().filter(|_| heading.is_first) {
            *is_epic = true;
        }
    }

    pub(super) fn add_prose(&mut self, mut paragraph: Vec<&'a str>) {
        let Some(heading) = self.open.last_mut().filter(|heading| heading.takes_prose) else {
            return;
        };
        let introduces = |line: &mut &str| line.trim_end_matches(['*', '_']).ends_with(':');
        paragraph.pop_if(introduces);
        if !paragraph.is_empty() {
            heading.prose.push(paragraph);
        }
    }

    /// What follows belongs to a list, table or code, not to the heading.
    pub(super) fn end_prose(&mut self) {
        if let Some(heading) = self.open.last_mut() {
            heading.takes_prose = false;
        }
    }

    /// What the headings say the plan is called.
    pub(super) fn title(&self) -> Option<&str> {
        let (title, is_epic) = self.first.as_ref()?;
        (!is_epic || self.top_headings == 1).then_some(title)
    }
}
