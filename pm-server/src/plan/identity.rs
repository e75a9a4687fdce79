//! Ids that follow from the plan, so that importing it again finds what is already there.
//!
//! An id is a UUIDv8 over the tenant, the name of the file (without folders), the headings above, the
//! checkboxes above, the item's own text, and which of several equal siblings it is.
//!
//! **Changes no id:** ticking a box, the `*` of an optional item, tabs for spaces, another bullet character,
//! editing descriptions, prose or code, moving the file to another folder, and inserting or removing a
//! line that neither is a heading or checkbox above others nor hides some (an unclosed fence does).
//!
//! **Changes ids**, and so imports anew: rewording or renumbering an item (it and what is nested in it),
//! renaming or inserting a heading (all that is below it), moving an item to another parent, inserting an
//! item *above an equal sibling*, renaming the file, importing into another tenant.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;

use super::{Kind, PlanItem};

/// Changing what goes into an id needs another name here, or new ids could equal old ones of other things.
const SCHEME: &str = "pm plan 1";

/// Where an item stands in its plan, whatever file that is: a digest over the path to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// What all paths begin with.
    pub(super) fn root() -> Self {
        Self(digest("root", &[]))
    }
}

/// Numbers equal siblings, in the order of the plan.
#[derive(Debug, Default)]
pub(super) struct Siblings(HashMap<Key, u64>);

impl Siblings {
    pub(super) fn heading(&mut self, above: Key, text: &str) -> Key {
        self.next("heading", above, text)
    }

    pub(super) fn item(&mut self, above: Key, text: &str) -> Key {
        self.next("item", above, text)
    }

    fn next(&mut self, tag: &str, above: Key, text: &str) -> Key {
        let equals = Key(digest(tag, &[&above.0, text.as_bytes()]));
        let ordinal = self.0.entry(equals).or_default();
        let key = Key(digest("ordinal", &[&equals.0, &ordinal.to_be_bytes()]));
        *ordinal += 1;
        key
    }
}

/// The file that a plan came from, as its ids see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(Key);

impl Source {
    /// The same file name in any folder is the same source.
    #[must_use]
    pub fn new(tenant: &str, file_name: &str) -> Self {
        let file = super::base_name(file_name);
        Self(Key(digest("source", &[tenant.as_bytes(), file.as_bytes()])))
    }

    /// The id of the project that the plan becomes, whatever its title is today.
    #[must_use]
    pub fn project(&self) -> Uuid {
        uuid("project", &[&self.0.0])
    }

    /// The id of an epic, story or task.
    #[must_use]
    pub fn entity(&self, item: &PlanItem) -> Uuid {
        let tag = match item.kind {
            Kind::Epic => "epic",
            Kind::Story | Kind::Task => "item",
        };
        uuid(tag, &[&self.0.0, &item.key.0])
    }

    /// The id of the one mutation that creates an entity: sent twice, it is applied once.
    #[must_use]
    pub fn creation(&self, entity: Uuid) -> Uuid {
        uuid("mutation", &[&self.0.0, entity.as_bytes()])
    }
}

fn uuid(tag: &str, parts: &[&[u8]]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest(tag, parts)[..16]);
    Uuid::new_v8(bytes)
}

/// Every part goes in behind its length, so that no two lists of parts are the same bytes.
fn digest(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [SCHEME.as_bytes(), tag.as_bytes()].iter().chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_be_shifted_into_each_other() {
        assert_ne!(digest("t", &[b"ab", b"c"]), digest("t", &[b"a", b"bc"]));
        assert_ne!(digest("t", &[b"ab"]), digest("ta", &[b"b"]));
        assert_ne!(Source::new("ab", "c.md"), Source::new("a", "bc.md"));
    }

    #[test]
    fn a_source_is_its_tenant_and_its_file_wherever_that_lies() {
        let source = Source::new("demo", "plan.md");
        assert_eq!(source, Source::new("demo", "../data/plan.md"));
        assert_eq!(source, Source::new("demo", "C:\\data\\plan.md"));
        assert_ne!(source, Source::new("demo", "other.md"));
        assert_ne!(source, Source::new("other", "plan.md"));
    }

    #[test]
    fn ids_are_version_8_and_differ_by_what_they_name() {
        let source = Source::new("demo", "plan.md");
        let project = source.project();
        assert_eq!(project.get_version_num(), 8);
        assert_ne!(source.creation(project), project);
    }

    /// Ids live in databases: another value here means that every plan ever imported comes in twice.
    #[test]
    fn ids_stay_what_they_were() {
        let plan = super::super::read(b"# Epic\n- [ ] story\n", "plan.md").unwrap();
        let source = Source::new("demo", "plan.md");
        let ids: Vec<_> = plan
            .items
            .iter()
            .map(|item| source.entity(item).to_string())
            .collect();
        assert_eq!(
            source.project().to_string(),
            "e367dd37-bb3c-8854-a17a-dd84b7362e40"
        );
        assert_eq!(
            ids,
            [
                "841508a1-6cc1-8422-8e1e-aa151dadffc6",
                "0a505998-1bb4-8f4f-91b1-9f77a9ce7ee9"
            ]
        );
        assert_eq!(
            source.creation(source.project()).to_string(),
            "1ef3d14a-1abb-890a-a7ea-c478de126570"
        );
    }
}
