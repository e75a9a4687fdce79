use super::path::Segment;
use super::pattern::Part;

/// Finds all patterns that match, in one walk over the segments.
///
/// `/a/{id}` and `/a/{name}` are the same place in it, with two rules.
#[derive(Debug, Default)]
pub(crate) struct Matcher(Node);

#[derive(Debug, Default)]
struct Node {
    /// In alphabetical order.
    literals: Vec<(Box<str>, Node)>,
    parameter: Option<Box<Node>>,
    /// Rules that end here.
    here: Vec<u16>,
    /// Rules that match whatever follows, if something does.
    rest: Vec<u16>,
}

/// What is compared with a literal.
pub(crate) trait Text {
    fn bytes(&self) -> impl Iterator<Item = u8> + Clone;
}

impl Text for Segment<'_> {
    fn bytes(&self) -> impl Iterator<Item = u8> + Clone {
        Segment::bytes(self)
    }
}

impl Text for &str {
    fn bytes(&self) -> impl Iterator<Item = u8> + Clone {
        str::bytes(self)
    }
}

impl Matcher {
    pub(crate) fn insert(&mut self, parts: &[Part], rule: u16) {
        let mut node = &mut self.0;
        for part in parts {
            node = match part {
                Part::Literal(literal) => node.literal(literal),
                Part::Parameter => node.parameter.get_or_insert_default(),
                Part::Rest => return node.rest.push(rule),
            };
        }
        node.here.push(rule);
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Node {
            literals,
            parameter,
            here,
            rest,
        } = &self.0;
        literals.is_empty() && parameter.is_none() && here.is_empty() && rest.is_empty()
    }

    /// Calls `found` for each rule whose pattern matches, in no order.
    pub(crate) fn each_match<T: Text>(&self, segments: &[T], found: &mut impl FnMut(u16)) {
        self.0.each_match(segments, found);
    }
}

impl Node {
    fn literal(&mut self, literal: &str) -> &mut Self {
        let at = match self
            .literals
            .binary_search_by(|(known, _)| (**known).cmp(literal))
        {
            Ok(at) => at,
            Err(at) => {
                self.literals.insert(at, (literal.into(), Self::default()));
                at
            }
        };
        &mut self.literals[at].1
    }

    /// Each node is visited at most once, so the walk is no longer than there are patterns.
    fn each_match<T: Text>(&self, segments: &[T], found: &mut impl FnMut(u16)) {
        let Some((segment, behind)) = segments.split_first() else {
            return self.here.iter().copied().for_each(found);
        };
        self.rest.iter().copied().for_each(&mut *found);
        let literal = self
            .literals
            .binary_search_by(|(known, _)| known.bytes().cmp(segment.bytes()));
        if let Ok(at) = literal {
            self.literals[at].1.each_match(behind, found);
        }
        if let Some(node) = &self.parameter {
            node.each_match(behind, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::*;

    #[test]
    fn all_that_match_are_found() {
        let patterns = [
            "/a/{id}",
            "/a/{name}",
            "/a/b",
            "/{*rest}",
            "/a/{*rest}",
            "/a",
            "/",
            "/{x}/b",
            "/b/{*r}",
        ];
        let mut matcher = Matcher::default();
        assert!(matcher.is_empty());
        for (rule, pattern) in patterns.iter().enumerate() {
            let pattern = Pattern::parse(pattern).expect("a pattern");
            matcher.insert(&pattern.parts, rule as u16);
        }
        for (path, expected) in [
            (
                &["a", "b"][..],
                &[
                    "/a/{id}",
                    "/a/{name}",
                    "/a/b",
                    "/{*rest}",
                    "/a/{*rest}",
                    "/{x}/b",
                ][..],
            ),
            (&["a"], &["/{*rest}", "/a"]),
            (&[], &["/"]),
            (&["b"], &["/{*rest}"]),
            (&["a", "c", "d"], &["/{*rest}", "/a/{*rest}"]),
        ] {
            let mut found = Vec::new();
            matcher.each_match(path, &mut |rule| found.push(patterns[usize::from(rule)]));
            found.sort_unstable();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(found, expected, "{path:?}");
        }
    }
}
