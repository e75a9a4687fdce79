//! What the next line may be nested in.

use super::MAX_DEPTH;

/// A line of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nested {
    pub(super) indent: usize,
    /// Whose description this is part of; none for a bullet outside items.
    pub(super) owner: Option<usize>,
    /// How many lists deep inside the owner's description.
    pub(super) depth: usize,
}

/// The lines of lists that text may be nested in, outermost first. Any outdented line closes them.
#[derive(Debug, Default)]
pub(super) struct Nesting(Vec<Nested>);

impl Nesting {
    pub(super) fn enter(&mut self, line: Nested) {
        self.0.push(line);
    }

    pub(super) fn outdent(&mut self, indent: usize) {
        close(&mut self.0, |line| line.indent >= indent);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn innermost(&self) -> Option<Nested> {
        self.0.last().copied()
    }

    /// The indentation of the list line that a line with this indentation is in.
    pub(super) fn around(&self, indent: usize) -> Option<usize> {
        // Each line is indented more than the one around it.
        let at = self.0.partition_point(|line| line.indent < indent);
        self.0[..at].last().map(|line| line.indent)
    }
}

/// The checkboxes that the next one may be nested in, outermost first. Only headings and checkboxes
/// close them: a line of text in between must not hand a task to somebody else.
#[derive(Debug, Default)]
pub(super) struct Boxes(Vec<OpenBox>);

#[derive(Debug, Clone, Copy)]
struct OpenBox {
    indent: usize,
    item: usize,
    depth: usize,
}

impl Boxes {
    /// The item that a checkbox with this indentation is nested in.
    pub(super) fn parent(&mut self, indent: usize) -> Option<usize> {
        close(&mut self.0, |above| above.indent >= indent);
        // Boxes below the deepest level are all on it, so their first is the end of the real path.
        self.0
            .iter()
            .rev()
            .find(|above| above.depth < MAX_DEPTH)
            .map(|above| above.item)
    }

    /// Must follow [`Self::parent`] with the same indentation.
    pub(super) fn enter(&mut self, indent: usize, item: usize) {
        // A story is on level 2, in an epic.
        let depth = self
            .0
            .last()
            .map_or(2, |above| (above.depth + 1).min(MAX_DEPTH));
        self.0.push(OpenBox {
            indent,
            item,
            depth,
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

fn close<T>(open: &mut Vec<T>, is_closed: impl Fn(&T) -> bool) {
    while open.last().is_some_and(&is_closed) {
        open.pop();
    }
}
