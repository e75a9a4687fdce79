use std::collections::BTreeSet;

const README: &str = include_str!("../../README.md");

/// All that names are written in, so that none can be left out here.
const TELEMETRY: [&str; 3] = [
    include_str!("../../src/telemetry/breaker.rs"),
    include_str!("../../src/telemetry/calls.rs"),
    include_str!("../../src/telemetry/server.rs"),
];

/// What stands between `before` and `after`, in each line that begins with `before`.
fn between<'t>(text: &'t str, before: &str, after: &str) -> impl Iterator<Item = &'t str> {
    text.lines().filter_map(move |line| {
        let (name, _) = line.strip_prefix(before)?.split_once(after)?;
        Some(name)
    })
}

#[test]
fn the_table_in_the_readme_has_the_names_that_there_are_and_no_others() {
    let table: BTreeSet<&str> = between(README, "| `pm_resilience_", "`").collect();
    let constants: BTreeSet<&str> = TELEMETRY
        .iter()
        .flat_map(|text| text.split("pub const ").skip(1))
        .filter_map(|constant| constant.split_once("\"pm_resilience_")?.1.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    assert!(constants.len() > 20, "{constants:?}");
    assert_eq!(table, constants);
}

#[test]
fn every_file_of_telemetry_is_looked_at() {
    let modules = include_str!("../../src/telemetry/mod.rs");
    let modules = between(modules, "mod ", ";").count();
    assert_eq!(modules, TELEMETRY.len());
}
