/// What was resolved, and so what is measured.
const LOCK: &str = include_str!("../../Cargo.lock");

/// The version of this package; the newest, if there are several.
pub(super) fn version(package: &str) -> &'static str {
    versions(package)
        .max_by_key(|version| numbers(version))
        .expect("a peer is a dependency, and so in the lock file")
}

fn versions(package: &str) -> impl Iterator<Item = &'static str> {
    LOCK.split("[[package]]").filter_map(move |entry| {
        let field = |name: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(name))?;
            line.strip_prefix(" = \"")?.strip_suffix('"')
        };
        (field("name")? == package).then(|| field("version"))?
    })
}

fn numbers(version: &str) -> Vec<u64> {
    let parts = version.split(['.', '-', '+']);
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(version("governor").starts_with("0.10."));
        assert_eq!(version("pm-ratelimit"), "0.1.0");
        assert_eq!(versions("no such package").count(), 0);
        assert!(numbers("1.10.0") > numbers("1.9.9"));
    }
}
