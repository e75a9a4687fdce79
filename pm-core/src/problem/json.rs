//! As much JSON (RFC 8259) as a problem needs, written and never read.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// The value of an extension member.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// `true` or `false`
    Bool(bool),
    /// An integer.
    Integer(i128),
    /// Several values.
    List(Vec<Value>),
    /// Named values, in this order.
    Object(Vec<(Cow<'static, str>, Value)>),
    /// Text.
    String(Cow<'static, str>),
}

impl Value {
    /// Named values; the caller sees to it that no name comes twice.
    pub fn object<N, V>(members: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Cow<'static, str>>,
        V: Into<Value>,
    {
        Self::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value {
            fn from(value: $integer) -> Self {
                Self::Integer(value.into())
            }
        }
    )*};
}

from_integers!(u16, u32, u64, i32, i64);

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::String(Cow::Borrowed(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(Cow::Owned(value))
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// An object being written.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        let mut json = String::with_capacity(256);
        json.push('{');
        Self(json)
    }

    pub(super) fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        write_string(&mut self.0, value);
    }

    pub(super) fn number(&mut self, name: &str, value: impl Display) {
        self.name(name);
        write_display(&mut self.0, value);
    }

    pub(super) fn value(&mut self, name: &str, value: &Value) {
        self.name(name);
        write_value(&mut self.0, value);
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write_string(&mut self.0, name);
        self.0.push(':');
    }
}

fn write_value(json: &mut String, value: &Value) {
    match value {
        Value::Bool(value) => write_display(json, value),
        Value::Integer(value) => write_display(json, value),
        Value::List(values) => {
            json.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_value(json, value);
            }
            json.push(']');
        }
        Value::Object(members) => {
            let mut object = Object(String::from("{"));
            for (name, value) in members {
                object.value(name, value);
            }
            json.push_str(&object.finish());
        }
        Value::String(value) => write_string(json, value),
    }
}

/// Escapes what RFC 8259 §7 demands, and nothing else.
fn write_string(json: &mut String, value: &str) {
    json.push('"');
    for char in value.chars() {
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            control if control < ' ' => {
                json.push_str("\\u");
                write_display(json, format_args!("{:04x}", u32::from(control)));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

fn write_display(json: &mut String, value: impl Display) {
    write!(json, "{value}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>()) {
            let mut json = Object::new();
            json.string(&text, &text);
            let read: serde_json::Value = serde_json::from_str(&json.finish()).expect("valid JSON");
            let expected: serde_json::Value = serde_json::json!({ text.clone(): text });
            prop_assert_eq!(read, expected);
        }
    }
}
