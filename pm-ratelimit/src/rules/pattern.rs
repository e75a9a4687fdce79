use std::cmp::Ordering;

use http::Method;

/// What a rule is about, read from its text: `[METHOD ]/path/with/{parameters}`, or the name of an
/// operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) kind: PatternKind,
    pub(crate) method: Option<Method>,
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternKind {
    Operation,
    Path,
}

/// In the order of how specific they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Box<str>),
    Parameter,
    /// One or more segments, to the end.
    Rest,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once('/') {
            Some((method, path)) => Ok(Self {
                kind: PatternKind::Path,
                method: parse_method(method)?,
                parts: parse_path(path)?,
            }),
            None => Ok(Self {
                kind: PatternKind::Operation,
                method: None,
                parts: parse_operation(text)?,
            }),
        }
    }

    /// Whether a request with this method is meant. Servers answer `HEAD` as they answer `GET`, and
    /// so a pattern for `GET` means both.
    pub(crate) fn admits(&self, method: Option<&Method>) -> bool {
        match (&self.method, method) {
            (None, _) => true,
            (Some(wanted), Some(method)) => {
                wanted == method || (wanted == Method::GET && method == Method::HEAD)
            }
            (Some(_), None) => false,
        }
    }

    /// `Less` is more specific: segment by segment from the left, literals before parameters before
    /// the rest; then an exact method before any, and `HEAD` before a `GET` that includes it.
    pub(crate) fn specificity(&self, other: &Self) -> Ordering {
        let parts = |pattern: &Self| pattern.parts.iter().map(Part::rank).collect::<Vec<_>>();
        let method = |pattern: &Self| match &pattern.method {
            Some(method) if *method != Method::GET => 0,
            Some(_) => 1,
            None => 2,
        };
        parts(self)
            .cmp(&parts(other))
            .then(method(self).cmp(&method(other)))
    }
}

impl Part {
    const fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Parameter => 1,
            Self::Rest => 2,
        }
    }
}

fn parse_method(text: &str) -> Result<Option<Method>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    text.strip_suffix(' ')
        .filter(|method| method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'))
        .and_then(|method| method.parse().ok())
        .map(Some)
        .ok_or("a path begins with a slash, after a method in capitals and one space if there is one: POST /login")
}

fn parse_path(path: &str) -> Result<Vec<Part>, &'static str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<Part> = path
        .split('/')
        .map(parse_segment)
        .collect::<Result<_, _>>()?;
    match parts.iter().position(|part| *part == Part::Rest) {
        Some(at) if at + 1 < parts.len() => Err("a wildcard like {*rest} comes last"),
        _ => Ok(parts),
    }
}

fn parse_segment(segment: &str) -> Result<Part, &'static str> {
    const BRACES: &str =
        "a parameter is a whole segment like {id} or {*rest}; a brace itself is written {{ or }}";
    if let Some(name) = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .filter(|name| !name.starts_with('{'))
    {
        let (name, part) = match name.strip_prefix('*') {
            Some(name) => (name, Part::Rest),
            None => (name, Part::Parameter),
        };
        let valid = !name.is_empty() && !name.contains(['{', '}', '*']);
        return if valid { Ok(part) } else { Err(BRACES) };
    }
    let literal = segment.replace("{{", "\u{0}").replace("}}", "\u{1}");
    if literal.contains(['{', '}']) {
        return Err(BRACES);
    }
    let literal = literal.replace('\u{0}', "{").replace('\u{1}', "}");
    if literal.is_empty() || literal == "." || literal == ".." {
        return Err("a segment is not empty, and not one or two dots");
    }
    if literal.contains(['%', '\\']) || literal.chars().any(char::is_control) {
        return Err("a segment is written as it reads, without percent-encoding");
    }
    Ok(Part::Literal(literal.into()))
}

fn parse_operation(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut segments = text.split('.').peekable();
    while let Some(segment) = segments.next() {
        if segment == "*" && segments.peek().is_none() {
            parts.push(Part::Rest);
        } else if segment.is_empty() || segment.contains(['*', '{', '}', ' ']) {
            return Err(
                "write a path like /login, or the name of an operation like task.update or task.*",
            );
        } else {
            parts.push(Part::Literal(segment.into()));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Pattern {
        Pattern::parse(text).expect(text)
    }

    #[test]
    fn a_pattern_is_a_path_or_an_operation() {
        let login = parse("POST /auth/login");
        assert_eq!(
            (login.kind, login.method.clone()),
            (PatternKind::Path, Some(Method::POST))
        );
        assert_eq!(login.parts.len(), 2);
        assert_eq!(parse("/a/{id}/b").parts[1], Part::Parameter);
        assert_eq!(parse("/{*rest}").parts, [Part::Rest]);
        assert_eq!(parse("/").parts, []);
        assert_eq!(parse("/a/"), parse("/a"));
        assert_eq!(parse("/a/{id}"), parse("/a/{name}"));
        assert_eq!(parse("/{{a}}").parts, [Part::Literal("{a}".into())]);
        let all = parse("task.*");
        assert_eq!((all.kind, all.parts.len()), (PatternKind::Operation, 2));
    }

    #[test]
    fn mistakes_are_found() {
        for text in [
            "",
            "post /a",
            "POST/a",
            "POST  /a",
            "/a//b",
            "/{}",
            "/{*}",
            "/{*rest}/a",
            "/a{b",
            "/%61",
            "/x{id}",
            "/.",
            "/a/..",
            "task..update",
            "task.*.x",
            "* /a",
            "a b",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_for_get_is_one_for_head() {
        // A limit on GET alone is dodged with HEAD, which the same handler answers.
        assert!(parse("GET /a").admits(Some(&Method::HEAD)));
        assert!(!parse("HEAD /a").admits(Some(&Method::GET)));
        assert!(parse("/a").admits(Some(&Method::PUT)));
        assert_eq!(
            parse("HEAD /a").specificity(&parse("GET /a")),
            Ordering::Less
        );
    }
}
