use arrayvec::ArrayVec;

/// The most segments of a path that is matched.
const MOST: usize = 48;

/// The path of a request in its one normal form, split into segments. It allocates nothing:
/// segments stay as they were written, and are decoded while they are compared.
pub(crate) struct Path<'a>(ArrayVec<Segment<'a>, MOST>);

/// One segment, percent-encoded as it was sent.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a>(&'a str);

/// The path of a request has no normal form.
///
/// A `%` without two hexadecimal digits, an encoded `/`, `\` or control character, bytes that are
/// not UTF-8, a `..` above the root, or more than 48 segments: two programs may read such a path
/// differently, and the limit of one would be the way around the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path of the request has no normal form")]
pub struct MalformedPath(());

impl<'a> Path<'a> {
    /// Empty segments and `.` are left out, `..` takes the segment before it away, and so a slash
    /// more or less is no way around a rule. A target that is no path (`*`, or none at all) is the
    /// root.
    pub(crate) fn parse(path: &'a str) -> Result<Self, MalformedPath> {
        let mut segments = ArrayVec::new();
        for raw in path.split('/') {
            let segment = Segment(raw);
            if !segment.is_sound() {
                return Err(MalformedPath(()));
            }
            if raw.is_empty() || segment.is(".") {
                continue;
            }
            if segment.is("..") {
                segments.pop().ok_or(MalformedPath(()))?;
            } else {
                segments.try_push(segment).map_err(|_| MalformedPath(()))?;
            }
        }
        Ok(Self(segments))
    }

    pub(crate) fn segments(&self) -> &[Segment<'a>] {
        &self.0
    }
}

/// The text of what is percent-encoded in an address; none if it is not text.
#[cfg(feature = "admin")]
pub(crate) fn decoded(raw: &str) -> Option<String> {
    let segment = Segment(raw);
    let bytes = segment.bytes().collect();
    String::from_utf8(bytes)
        .ok()
        .filter(|_| segment.is_decodable())
}

impl<'a> Segment<'a> {
    /// A segment that is not encoded, of a name that comes from the program.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.bytes().eq(text.bytes())
    }

    /// The bytes, decoded; a stray `%` stays.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> + Clone + use<'a> {
        let raw = self.0.as_bytes();
        let mut at = 0;
        std::iter::from_fn(move || {
            let byte = *raw.get(at)?;
            if byte == b'%'
                && let Some(decoded) = hex(raw.get(at + 1), raw.get(at + 2))
            {
                at += 3;
                return Some(decoded);
            }
            at += 1;
            Some(byte)
        })
    }

    /// Whether every `%` is that of a byte.
    fn is_decodable(&self) -> bool {
        let raw = self.0.as_bytes();
        let mut encoded = raw.iter().enumerate().filter(|(_, byte)| **byte == b'%');
        encoded.all(|(at, _)| hex(raw.get(at + 1), raw.get(at + 2)).is_some())
    }

    fn is_sound(&self) -> bool {
        self.is_decodable()
            && self
                .bytes()
                .all(|byte| !matches!(byte, b'/' | b'\\' | 0x7f) && byte >= b' ')
            && is_utf8(self.bytes())
    }
}

fn hex(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    Some((digit(high?)? << 4 | digit(low?)?) as u8)
}

/// Well-formed UTF-8 (Unicode 15, table 3-7), without a buffer for it.
fn is_utf8(mut bytes: impl Iterator<Item = u8>) -> bool {
    while let Some(byte) = bytes.next() {
        let (second, more) = match byte {
            0x00..=0x7f => continue,
            0xc2..=0xdf => (0x80..=0xbf, 0),
            0xe0 => (0xa0..=0xbf, 1),
            0xed => (0x80..=0x9f, 1),
            0xe1..=0xef => (0x80..=0xbf, 1),
            0xf0 => (0x90..=0xbf, 2),
            0xf1..=0xf3 => (0x80..=0xbf, 2),
            0xf4 => (0x80..=0x8f, 2),
            _ => return false,
        };
        if !bytes.next().is_some_and(|byte| second.contains(&byte)) {
            return false;
        }
        for _ in 0..more {
            if !bytes.next().is_some_and(|byte| matches!(byte, 0x80..=0xbf)) {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> Option<String> {
        let path = Path::parse(path).ok()?;
        let mut text = String::new();
        for segment in path.segments() {
            text.push('/');
            text.push_str(&String::from_utf8(segment.bytes().collect()).expect("it was checked"));
        }
        Some(text)
    }

    #[test]
    fn path_variants_are_one_path() {
        // `//`, `%2f`, dots and a trailing slash dodge a rule that compares raw text.
        for path in [
            "/a/login",
            "//a//login",
            "/a/login/",
            "/a/./login",
            "/a/%2e/login",
            "/a/b/../login",
            "/a/b/%2E%2e/login",
            "/%61/log%69n",
        ] {
            assert_eq!(normal(path).as_deref(), Some("/a/login"), "{path}");
        }
        assert_eq!(
            normal("/A/login").as_deref(),
            Some("/A/login"),
            "case is kept"
        );
        assert_eq!(normal("/stra%C3%9Fe").as_deref(), Some("/straße"));
        for root in ["", "/", "//", "/.", "/a/.."] {
            assert_eq!(normal(root).as_deref(), Some(""), "{root}");
        }
    }

    #[test]
    fn what_programs_read_differently_has_no_normal_form() {
        for path in [
            "/a%2flogin",
            "/a%5clogin",
            "/a\\login",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%00",
            "/a%0d%0ab",
            "/..",
            "/a/../../login",
            "/a%c0%af",
            "/%ff",
            "/%ed%a0%80",
            "/%c3",
        ] {
            assert_eq!(normal(path), None, "{path}");
        }
        assert!(normal(&"/a".repeat(MOST)).is_some());
        assert!(normal(&"/a".repeat(MOST + 1)).is_none());
    }

    proptest! {
        #[test]
        fn utf8_is_what_std_says_it_is(bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
            prop_assert_eq!(is_utf8(bytes.iter().copied()), std::str::from_utf8(&bytes).is_ok());
        }

        #[test]
        fn a_normal_form_is_its_own(path in "(/([a-c.]{0,3}|%2[eE]|%6[1-3]|%[0-9a-f]{2})){0,6}") {
            if let Some(once) = normal(&path) && !once.contains('%') {
                prop_assert_eq!(normal(&once), Some(once));
            }
        }
    }
}
