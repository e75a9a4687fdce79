use super::{
    Status,
    refusal::{Violation, check_line},
};

/// The longest title, in characters.
pub const MAX_TITLE_CHARS: usize = 500;
/// The longest description, in bytes of UTF-8.
pub const MAX_DESCRIPTION_BYTES: usize = 64 * 1024;
/// The most labels of one item.
pub const MAX_LABELS: usize = 32;
/// The longest label, in characters.
pub const MAX_LABEL_CHARS: usize = 64;
/// The longest name of an assignee, in characters.
pub const MAX_ASSIGNEE_CHARS: usize = 128;

/// What the users of a work item edit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// How far it is.
    pub status: Status,
    /// One line, 1 to [`MAX_TITLE_CHARS`] characters.
    pub title: String,
    /// Any text up to [`MAX_DESCRIPTION_BYTES`].
    pub description: String,
    /// At most [`MAX_LABELS`], no two equal, in the order given.
    pub labels: Vec<String>,
    /// The subject it is assigned to; empty: nobody.
    pub assignee: String,
}

/// New values for some of the [`Fields`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// See [`Fields::status`].
    pub status: Option<Status>,
    /// See [`Fields::title`].
    pub title: Option<String>,
    /// See [`Fields::description`].
    pub description: Option<String>,
    /// See [`Fields::labels`].
    pub labels: Option<Vec<String>>,
    /// See [`Fields::assignee`].
    pub assignee: Option<String>,
}

impl Fields {
    /// Says everything that is wrong with these fields.
    pub(super) fn check(&self, violations: &mut Vec<Violation>) {
        Patch::from(self.clone()).check(violations);
    }

    /// Takes over what `patch` names.
    pub fn apply(&mut self, patch: &Patch) {
        let Patch {
            status,
            title,
            description,
            labels,
            assignee,
        } = patch;
        take(&mut self.status, status);
        take(&mut self.title, title);
        take(&mut self.description, description);
        take(&mut self.labels, labels);
        take(&mut self.assignee, assignee);
    }

    /// The part of `patch` that changes something, as old and new values, or `None`.
    ///
    /// The old description is left out: the event that set it has it, and storing every large text
    /// twice would double the log.
    #[must_use]
    pub fn diff(&self, patch: &Patch) -> Option<(Patch, Patch)> {
        let mut old = Patch::default();
        let mut new = Patch::default();
        differ(
            &self.status,
            &patch.status,
            &mut old.status,
            &mut new.status,
        );
        differ(&self.title, &patch.title, &mut old.title, &mut new.title);
        differ(
            &self.labels,
            &patch.labels,
            &mut old.labels,
            &mut new.labels,
        );
        differ(
            &self.assignee,
            &patch.assignee,
            &mut old.assignee,
            &mut new.assignee,
        );
        if patch
            .description
            .as_ref()
            .is_some_and(|wanted| *wanted != self.description)
        {
            new.description.clone_from(&patch.description);
        }
        (new != Patch::default()).then_some((old, new))
    }
}

impl From<Fields> for Patch {
    fn from(fields: Fields) -> Self {
        let Fields {
            status,
            title,
            description,
            labels,
            assignee,
        } = fields;
        Self {
            status: Some(status),
            title: Some(title),
            description: Some(description),
            labels: Some(labels),
            assignee: Some(assignee),
        }
    }
}

impl Patch {
    /// Says everything that is wrong with the values.
    pub(super) fn check(&self, violations: &mut Vec<Violation>) {
        if let Some(title) = &self.title {
            check_line("fields.title", title, MAX_TITLE_CHARS, violations);
        }
        if let Some(description) = &self.description {
            check_description(description, violations);
        }
        if let Some(labels) = &self.labels {
            check_labels(labels, violations);
        }
        if let Some(assignee) = self
            .assignee
            .as_ref()
            .filter(|assignee| !assignee.is_empty())
        {
            check_line("fields.assignee", assignee, MAX_ASSIGNEE_CHARS, violations);
        }
    }
}

fn take<T: Clone>(field: &mut T, wanted: &Option<T>) {
    if let Some(wanted) = wanted {
        field.clone_from(wanted);
    }
}

fn differ<T: Clone + PartialEq>(
    current: &T,
    wanted: &Option<T>,
    old: &mut Option<T>,
    new: &mut Option<T>,
) {
    if wanted.as_ref().is_some_and(|wanted| wanted != current) {
        *old = Some(current.clone());
        new.clone_from(wanted);
    }
}

fn check_description(text: &str, violations: &mut Vec<Violation>) {
    const PATH: &str = "fields.description";
    if text.len() > MAX_DESCRIPTION_BYTES {
        let wanted = format!("it may have at most {MAX_DESCRIPTION_BYTES} bytes");
        violations.push(Violation::new(PATH, "too_long", wanted));
    } else if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        let wanted = "line feed and tab are the only control characters it may have";
        violations.push(Violation::new(PATH, "control_character", wanted));
    }
}

fn check_labels(labels: &[String], violations: &mut Vec<Violation>) {
    const PATH: &str = "fields.labels";
    if labels.len() > MAX_LABELS {
        let wanted = format!("there may be at most {MAX_LABELS}");
        violations.push(Violation::new(PATH, "too_many", wanted));
        return;
    }
    for (at, label) in labels.iter().enumerate() {
        check_line(PATH, label, MAX_LABEL_CHARS, violations);
        if labels[..at].contains(label) {
            violations.push(Violation::new(PATH, "repeated", "no two may be equal"));
        }
    }
}
