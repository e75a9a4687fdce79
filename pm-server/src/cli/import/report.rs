use std::fmt;

use crate::{client::Visible, domain::Kind, plan::Skipped};

/// What became of a plan.
///
/// Displayed, it lists what was skipped, what was deleted and what was refused, and its last line is
/// `imported: 4 epics, 19 stories, 115 tasks, 0 skipped, 138 new`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Epics of the plan that are imported, now or before.
    pub epics: usize,
    /// Stories of the plan that are imported, now or before.
    pub stories: usize,
    /// Tasks of the plan that are imported, now or before.
    pub tasks: usize,
    /// How many of them this import created.
    pub new: usize,
    /// What in the file is no part of a plan.
    pub skipped: Vec<Skipped>,
    /// What was deleted on the server, or belongs below what was. It stays deleted, is not counted as
    /// imported, and is no failure.
    ///
    /// Only lines that changed since they were imported are found to be here: an unchanged one is the
    /// same mutation, which is answered as it was the first time.
    pub deleted: Vec<Refused>,
    /// What the server would not take.
    pub refused: Vec<Refused>,
}

/// An item that the server would not take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Its line in the file, counted from 1.
    pub line: usize,
    /// Its title.
    pub title: String,
    /// Why.
    pub reason: String,
}

impl Report {
    pub(super) fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Epic => self.epics += 1,
            Kind::Story => self.stories += 1,
            Kind::Task => self.tasks += 1,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for skipped in &self.skipped {
            writeln!(f, "skipped {skipped}")?;
        }
        for Refused {
            line,
            title,
            reason,
        } in self.deleted.iter().chain(&self.refused)
        {
            let (title, reason) = (Visible(title), Visible(reason));
            writeln!(f, "not imported: line {line}, \"{title}\": {reason}")?;
        }
        let Self {
            epics,
            stories,
            tasks,
            new,
            skipped,
            ..
        } = self;
        let skipped = skipped.len();
        writeln!(
            f,
            "imported: {epics} epics, {stories} stories, {tasks} tasks, {skipped} skipped, {new} new"
        )
    }
}
