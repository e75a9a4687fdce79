use std::str::FromStr;

use http::StatusCode;
use serde::Serialize;

use super::answer::Fault;
use crate::observer::cut;
use crate::rules::decoded;

/// The most items of one page: one more is no more than a store tells at a time.
const MOST: usize = 500;

/// How many they are where nothing is said.
const SOME: usize = 100;

/// The longest name that is repeated to the client.
const SHOWN: usize = 64;

/// What stands behind a path.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// A part of a list.
#[derive(Serialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// What to ask behind, if there is more.
    next: Option<String>,
}

impl Query {
    /// Of these parameters, each once.
    pub(super) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Fault> {
        let invalid = |detail: String| Fault::new(StatusCode::BAD_REQUEST, detail);
        let mut found: Vec<(String, String)> = Vec::new();
        for pair in query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let both = (decoded(name), decoded(&value.replace('+', "%20")));
            let (Some(name), Some(value)) = both else {
                return Err(invalid("the query is not UTF-8".to_owned()));
            };
            if !known.contains(&name.as_str()) {
                let name = cut(&name, SHOWN);
                let known = known.join(", ");
                return Err(invalid(match known.as_str() {
                    "" => format!("there is no parameter {name:?}, nor any other"),
                    known => format!("there is no parameter {name:?}: there are {known}"),
                }));
            }
            if found.iter().any(|(known, _)| *known == name) {
                return Err(invalid(format!("the parameter {name:?} is there twice")));
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter();
        found
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn parsed<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, Fault> {
        let invalid = || {
            Fault::new(
                StatusCode::BAD_REQUEST,
                format!("the parameter {name:?} is {wanted}"),
            )
        };
        self.get(name)
            .map(str::parse)
            .transpose()
            .map_err(|_| invalid())
    }

    /// How many items are wanted.
    pub(super) fn limit(&self) -> Result<usize, Fault> {
        const WANTED: &str = "a number from 1 to 500";
        let limit = self.parsed("limit", WANTED)?.unwrap_or(SOME);
        if (1..=MOST).contains(&limit) {
            return Ok(limit);
        }
        Err(Fault::new(
            StatusCode::BAD_REQUEST,
            format!("the parameter \"limit\" is {WANTED}"),
        ))
    }
}

impl<T> Page<T> {
    /// Of items of which there is one more than `limit` if there are more.
    pub(super) fn new(mut items: Vec<T>, limit: usize, name: impl FnOnce(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(name);
        Self { items, next }
    }
}
