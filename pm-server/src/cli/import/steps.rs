use aws_lc_rs::digest::{Context, SHA256};
use prost::Message;
use uuid::Uuid;

use crate::{
    domain::{Fields, Id, Kind, MAX_PROJECT_NAME_CHARS},
    r#gen::{self as pb, mutate::Operation},
    plan::{Plan, PlanItem, Source},
    wire::encode,
};

/// Changing what goes into an id needs another name here, or new ids could equal old ones.
const SCHEME: &str = "pm import 1";

/// The changes that make a plan a backlog, in order: the project first, parents before children.
#[derive(Debug)]
pub(super) struct Steps(Vec<Step>);

/// One change.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) mutation: pb::Mutate,
    /// The step whose success this one needs: the parent's, or the project's.
    pub(super) needs: Option<usize>,
    /// `None`: the project itself.
    pub(super) item: Option<Origin>,
}

/// Where in the file an item is from.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) kind: Kind,
    pub(super) title: String,
    pub(super) line: usize,
}

impl Steps {
    /// `project` is the name of a project of its own; without, the project belongs to the file.
    pub(super) fn of(plan: &Plan, tenant: &str, file_name: &str, project: Option<&str>) -> Self {
        let ids = Ids::new(tenant, file_name, project);
        let name = project.map_or_else(|| cut(&plan.title), str::to_owned);
        let create = pb::CreateProject {
            id: encode::id(ids.project()),
            name,
        };
        let mut steps = vec![Step {
            mutation: mutation(tenant, Operation::CreateProject(create)),
            needs: None,
            item: None,
        }];
        for item in &plan.items {
            let parent = item.parent.map(|parent| ids.item(&plan.items[parent]));
            let create = create_item(&ids, item, parent);
            steps.push(Step {
                mutation: mutation(tenant, Operation::CreateItem(create)),
                // The project is step 0, item n is step n + 1.
                needs: Some(item.parent.map_or(0, |parent| parent + 1)),
                item: Some(Origin {
                    kind: item.kind,
                    title: item.title.clone(),
                    line: item.line,
                }),
            });
        }
        Self(steps)
    }

    pub(super) fn all(&self) -> &[Step] {
        &self.0
    }

    /// How many there are, without the project.
    pub(super) fn items(&self) -> usize {
        self.0.len() - 1
    }
}

/// The ids of what is imported.
struct Ids {
    source: Source,
    /// An import into a project with a name of its own makes other items than one without: the
    /// same file may be imported into several.
    named: Option<Id>,
}

impl Ids {
    fn new(tenant: &str, file_name: &str, project: Option<&str>) -> Self {
        let named = |name: &str| derived("project", &[tenant.as_bytes(), name.as_bytes()]);
        Self {
            source: Source::new(tenant, file_name),
            named: project.map(named),
        }
    }

    fn project(&self) -> Id {
        self.named.unwrap_or_else(|| self.source.project().into())
    }

    fn item(&self, item: &PlanItem) -> Id {
        let entity = self.source.entity(item);
        self.named.map_or_else(
            || entity.into(),
            |project| derived("item", &[project.as_bytes(), entity.as_bytes()]),
        )
    }
}

fn create_item(ids: &Ids, item: &PlanItem, parent: Option<Id>) -> pb::CreateItem {
    let fields = Fields {
        status: item.status,
        title: item.title.clone(),
        description: item.description.clone(),
        labels: item.labels.clone(),
        assignee: String::new(),
    };
    pb::CreateItem {
        id: encode::id(ids.item(item)),
        project_id: encode::id(ids.project()),
        parent_id: encode::optional_id(parent),
        kind: encode::kind(item.kind) as i32,
        fields: Some(encode::fields(&fields)),
        place: None,
    }
}

/// The id follows from the operation: the same change is the same mutation, and an edited plan
/// never uses an id for a second, other one.
fn mutation(tenant: &str, operation: Operation) -> pb::Mutate {
    let mut mutation = pb::Mutate {
        mutation_id: bytes::Bytes::new(),
        operation: Some(operation),
    };
    let id = derived("mutation", &[tenant.as_bytes(), &mutation.encode_to_vec()]);
    mutation.mutation_id = encode::id(id);
    mutation
}

/// A title may be longer than the name of a project.
fn cut(title: &str) -> String {
    match title.char_indices().nth(MAX_PROJECT_NAME_CHARS) {
        None => title.to_owned(),
        Some(_) => title
            .chars()
            .take(MAX_PROJECT_NAME_CHARS - 1)
            .chain(['…'])
            .collect(),
    }
}

/// Every part goes in behind its length, so that no two lists of parts are the same bytes.
fn derived(tag: &str, parts: &[&[u8]]) -> Id {
    let mut context = Context::new(&SHA256);
    for part in [SCHEME.as_bytes(), tag.as_bytes()].iter().chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&context.finish().as_ref()[..16]);
    Uuid::new_v8(bytes).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::plan;

    const PLAN: &[u8] = b"# Roadmap\n## One\n- [x] a\n  - [ ]* b\n## Two\n- [ ] c\n";

    fn steps(plan: &[u8], file: &str, project: Option<&str>) -> Steps {
        Steps::of(&plan::read(plan, file).unwrap(), "demo", file, project)
    }

    fn create(step: &Step) -> &pb::CreateItem {
        match &step.mutation.operation {
            Some(Operation::CreateItem(create)) => create,
            other => panic!("not an item: {other:?}"),
        }
    }

    fn ids(steps: &Steps) -> HashSet<bytes::Bytes> {
        let items = steps
            .all()
            .iter()
            .skip(1)
            .map(|step| create(step).id.clone());
        let mutations = steps
            .all()
            .iter()
            .map(|step| step.mutation.mutation_id.clone());
        items.chain(mutations).collect()
    }

    #[test]
    fn the_project_comes_first_and_parents_before_children() {
        let steps = steps(PLAN, "plan.md", None);
        let Some(Operation::CreateProject(project)) = &steps.all()[0].mutation.operation else {
            panic!("not a project");
        };
        assert_eq!(project.name, "Roadmap");
        let needs: Vec<_> = steps.all().iter().map(|step| step.needs).collect();
        assert_eq!(needs, [None, Some(0), Some(1), Some(2), Some(0), Some(4)]);
        for step in &steps.all()[1..] {
            let item = create(step);
            assert_eq!(item.project_id, project.id);
            match step.needs {
                Some(0) => assert!(item.parent_id.is_empty()),
                Some(parent) => assert_eq!(item.parent_id, create(&steps.all()[parent]).id),
                None => panic!("an item needs something"),
            }
        }
        let task = create(&steps.all()[3]);
        assert_eq!(task.kind, pb::Kind::Task as i32);
        assert_eq!(task.fields.as_ref().unwrap().labels, ["optional"]);
    }

    #[test]
    fn the_same_plan_is_the_same_mutations_and_an_edited_one_others() {
        let once = steps(PLAN, "plan.md", None);
        let again = steps(PLAN, "elsewhere/plan.md", None);
        let mutations = |steps: &Steps| -> Vec<_> {
            steps
                .all()
                .iter()
                .map(|step| step.mutation.clone())
                .collect()
        };
        assert_eq!(mutations(&once), mutations(&again));
        let ticked = String::from_utf8(PLAN.to_vec())
            .unwrap()
            .replace("] c", "x] c");
        let ticked = ticked.replace("[ x]", "[x]");
        let ticked = steps(ticked.as_bytes(), "plan.md", None);
        let (old, new) = (&once.all()[5], &ticked.all()[5]);
        assert_eq!(create(old).id, create(new).id);
        assert_ne!(old.mutation.mutation_id, new.mutation.mutation_id);
    }

    #[test]
    fn a_project_of_its_own_has_items_of_its_own() {
        let plain = ids(&steps(PLAN, "plan.md", None));
        let named = ids(&steps(PLAN, "plan.md", Some("Apollo")));
        let other = ids(&steps(PLAN, "plan.md", Some("Gemini")));
        assert!(plain.is_disjoint(&named) && named.is_disjoint(&other));
        assert_eq!(named, ids(&steps(PLAN, "plan.md", Some("Apollo"))));
        let file = steps(PLAN, "other.md", Some("Apollo"));
        let same_project = &create(&file.all()[1]).project_id;
        let apollo = steps(PLAN, "plan.md", Some("Apollo"));
        assert_eq!(*same_project, create(&apollo.all()[1]).project_id);
    }

    #[test]
    fn ids_are_version_8() {
        for step in steps(PLAN, "plan.md", Some("Apollo")).all() {
            let id = Uuid::from_slice(&step.mutation.mutation_id).unwrap();
            assert_eq!(id.get_version_num(), 8);
        }
    }

    /// Ids live in databases: another value here means that plans come in twice.
    #[test]
    fn ids_stay_what_they_were() {
        let steps = steps(PLAN, "plan.md", Some("Apollo"));
        let item = create(&steps.all()[1]);
        let ids = [&item.project_id, &item.id].map(|id| Uuid::from_slice(id).unwrap().to_string());
        assert_eq!(
            ids,
            [
                "398133e5-96fc-8dfe-836e-b7d3718daeb2",
                "ec14dc06-9afb-8906-9f3f-abf22a8b6e74"
            ]
        );
    }

    #[test]
    fn a_title_is_cut_to_the_name_of_a_project() {
        assert_eq!(cut("Roadmap"), "Roadmap");
        let long = cut(&"ä".repeat(201));
        assert_eq!(long.chars().count(), MAX_PROJECT_NAME_CHARS);
        assert!(long.ends_with("ä…"));
        let exact = "ä".repeat(200);
        assert_eq!(cut(&exact), exact);
    }
}
