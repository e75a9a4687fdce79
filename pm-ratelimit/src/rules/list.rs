use super::Rule;

/// Named rules: plain data, with the feature `serde` a map from names to rules.
///
/// A name is what a policy is called in headers, problems and metrics (1–64 printable ASCII
/// characters), and part of what its buckets are found by: a rule that keeps its name keeps its
/// buckets, whatever else about it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rules(pub(crate) Vec<(String, Rule)>);

impl Rules {
    /// No rules: nothing is limited.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// These and one more.
    pub fn rule(mut self, name: impl Into<String>, rule: Rule) -> Self {
        self.0.push((name.into(), rule));
        self
    }

    /// Names and rules, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Rule)> {
        self.0.iter().map(|(name, rule)| (name.as_str(), rule))
    }
}
