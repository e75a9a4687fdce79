//! The file of `--limits`: rules by name. One replaces the rule that is built in under its name, or
//! is added; `null` takes it out.

use std::fmt;

use pm_ratelimit::{By, InvalidRules, Rule, Rules, Stage};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{
    limits::{with_rule, without_rule},
    ws::FrameKind,
};

/// What is wrong in the file, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// The file is not a map of names.
    #[error(
        "{0}; write rules by name, like {{\"user\": {{\"by\": \"user\", \"quota\": \"600/minute\"}}}}"
    )]
    NotRules(#[source] serde_json::Error),
    /// What stands under a name is no rule.
    #[error(
        "rule {0:?}: write fields, like {{\"by\": \"user\", \"quota\": \"600/minute\"}}, or null to \
         take it out"
    )]
    NotARule(String),
    /// Something is there twice.
    #[error("rule {0:?}: it is there twice; leave one out")]
    Twice(String),
    /// A rule that is not there cannot be taken out.
    #[error("rule {0:?}: there is none of this name to take out")]
    NotThere(String),
    /// A field of a rule is wrong.
    #[error("rule {rule:?}, field `{field}`: {message}")]
    Field {
        /// The name of the rule.
        rule: String,
        /// The name of the field.
        field: String,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// A rule is wrong as a whole, or the rules do not go together.
    #[error(transparent)]
    Invalid(InvalidRules),
}

/// `rules` and what the text says about them.
pub(super) fn amend(mut rules: Rules, text: &str) -> Result<Rules, Mistake> {
    let Entries(entries) = serde_json::from_str(text).map_err(Mistake::NotRules)?;
    if let Some(name) = twice(&entries) {
        return Err(Mistake::Twice(shown(name)));
    }
    for (name, entry) in entries {
        rules = match entry {
            Entry::Fields(Entries(fields)) => with_rule(&rules, &name, rule(&name, fields)?),
            Entry::Other(Value::Null) if rules.iter().any(|(known, _)| known == name) => {
                without_rule(&rules, &name)
            }
            Entry::Other(Value::Null) => return Err(Mistake::NotThere(shown(&name))),
            Entry::Other(_) => return Err(Mistake::NotARule(shown(&name))),
        };
    }
    Ok(rules)
}

fn rule(name: &str, fields: Vec<(String, Value)>) -> Result<Rule, Mistake> {
    let wrong = |field: &str, message: String| Mistake::Field {
        rule: shown(name),
        field: shown(field),
        message,
    };
    if let Some(field) = twice(&fields) {
        return Err(wrong(field, "it is there twice; leave one out".to_owned()));
    }
    let read = |fields: Map<String, Value>| serde_json::from_value::<Rule>(Value::Object(fields));
    // Each by itself, for the name of the one that is wrong.
    for (field, value) in &fields {
        read(Map::from_iter([(field.clone(), value.clone())]))
            .map(drop)
            .map_err(|error| wrong(field, error.to_string()))?;
    }
    let fields = Map::from_iter(fields);
    if let Some((field, message)) = useless(&fields) {
        return Err(wrong(field, message));
    }
    Ok(read(fields).expect("each field was read by itself"))
}

/// What makes a rule one that never applies in this server: rather a mistake than a wish.
fn useless(fields: &Map<String, Value>) -> Option<(&'static str, String)> {
    let parsed = |field| serde_json::from_value(fields.get(field)?.clone()).ok();
    let by: By = parsed("by").unwrap_or_default();
    let on = fields.get("on").and_then(Value::as_str);
    let is_about_frames = on.is_some_and(|on| !on.contains('/'));
    let at_the_edge = fields
        .get("stage")
        .and_then(|stage| Stage::deserialize(stage).ok())
        == Some(Stage::Edge);
    let names = || FrameKind::ALL.map(FrameKind::name);
    match (by, on) {
        (By::ApiKey | By::Custom(_), _) => {
            let right = "this server knows a client, a user, a connection, the caller and everyone";
            Some(("by", right.to_owned()))
        }
        (_, Some(on)) if is_about_frames && !names().iter().any(|name| covers(on, name)) => {
            let right = format!(
                "there is no such frame: write frame.* or {}",
                names().join(", ")
            );
            Some(("on", right))
        }
        (By::Connection, Some(_)) if !is_about_frames => {
            let right = "only frames have a connection: write client, or `on` a frame";
            Some(("by", right.to_owned()))
        }
        (By::Connection | By::User, _) if at_the_edge => {
            let right = "only the client is known at the edge: leave it out";
            Some(("stage", right.to_owned()))
        }
        _ if at_the_edge && is_about_frames => {
            let right = "frames are not decided on at the edge: leave it out";
            Some(("stage", right.to_owned()))
        }
        _ => None,
    }
}

/// Whether a pattern about operations is about this one, too.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

fn twice<T>(entries: &[(String, T)]) -> Option<&str> {
    let mut later = entries.iter().enumerate();
    later
        .find(|(at, (name, _))| entries[..*at].iter().any(|(before, _)| before == name))
        .map(|(_, (name, _))| name.as_str())
}

/// As much of a name as helps to find it.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// A map as it is written, with what is there twice.
struct Entries<T>(Vec<(String, T)>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Fields(Entries<Value>),
    Other(Value),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Map(std::marker::PhantomData))
    }
}
