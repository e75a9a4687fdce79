use std::collections::BTreeMap;

use serde::Serialize;

use super::Shared;
use super::answer::{Answer, Fault};
use super::page::Page;
use super::precondition::Precondition;
use super::service::Asked;
use crate::rule_book::{Edit, SavedRule};
use crate::{Rule, RuleBook};

/// A rule, as it is shown.
#[derive(Serialize)]
struct Shown {
    name: String,
    rule: Rule,
    /// Where it comes from.
    origin: Origin,
    /// Of the last change, if it is stored.
    version: Option<u64>,
    /// What is stored may not be valid on this instance.
    in_force: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Origin {
    Configured,
    Stored,
}

impl Shared {
    pub(super) fn book(&self) -> Result<&RuleBook, Fault> {
        let book = self.book.as_ref();
        book.ok_or_else(|| Fault::not_given("store of rules", "Admin::with_rule_book"))
    }

    pub(super) fn rules(&self, asked: &Asked<'_>) -> Result<Answer, Fault> {
        let (after, limit) = (asked.query.get("after"), asked.query.limit()?);
        let items = self.all_rules().into_iter();
        let items = items.filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
        let items = items.map(|(_, shown)| shown).take(limit + 1).collect();
        Answer::json(&Page::new(items, limit, |shown: &Shown| shown.name.clone()))
    }

    pub(super) fn rule(&self, name: &str) -> Result<Answer, Fault> {
        let shown = self.all_rules().remove(name);
        let shown = shown.ok_or_else(|| Fault::not_found("there is no rule of this name"))?;
        let answer = Answer::json(&shown)?;
        Ok(match shown.version {
            Some(version) => answer.with_version(version),
            None => answer,
        })
    }

    pub(super) async fn put_rule(
        &self,
        name: &str,
        rule: Rule,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let book = self.book()?;
        let precondition = Precondition::of(&asked.parts.headers)?;
        let before = known(book, name).await?.map_or(0, |saved| saved.version);
        let edit = Edit::put(name, rule.clone());
        let edit = match precondition.seen(before)? {
            Some(version) => edit.seen(version),
            None => edit,
        };
        let version = book.edit([edit]).await?;
        // What others have written since is not what is answered.
        let saved = book.get(name).filter(|saved| saved.rule == rule);
        let version = saved.map_or(version, |saved| saved.version);
        let shown = Shown {
            name: name.to_owned(),
            rule,
            origin: Origin::Stored,
            version: Some(version),
            in_force: book.refused().is_none(),
        };
        let answer = Answer::json(&shown)?;
        Ok(answer.created(before == 0).with_version(version))
    }

    pub(super) async fn remove_rule(&self, name: &str, asked: &Asked<'_>) -> Result<Answer, Fault> {
        let book = self.book()?;
        let precondition = Precondition::of(&asked.parts.headers)?;
        let Some(known) = known(book, name).await? else {
            return Err(Fault::not_found(
                "there is no stored rule of this name; one of the configuration stays, put another in \
                 its place",
            ));
        };
        let edit = Edit::remove(name);
        let edit = match precondition.seen(known.version)? {
            Some(version) => edit.seen(version),
            None => edit,
        };
        book.edit([edit]).await?;
        Ok(Answer::done())
    }

    /// Those in force, and those that are stored.
    fn all_rules(&self) -> BTreeMap<String, Shown> {
        let mut all = BTreeMap::new();
        for (name, rule) in self.limiter.rules().iter() {
            let shown = Shown {
                name: name.to_owned(),
                rule: rule.clone(),
                origin: Origin::Configured,
                version: None,
                in_force: true,
            };
            all.insert(name.to_owned(), shown);
        }
        let stored = self.book.as_ref().map(|book| book.list(None, usize::MAX));
        for SavedRule {
            name,
            rule,
            version,
        } in stored.into_iter().flatten()
        {
            let in_force = all
                .get(name.as_str())
                .is_some_and(|shown| shown.rule == rule);
            let shown = Shown {
                name: name.to_string(),
                rule,
                origin: Origin::Stored,
                version: Some(version),
                in_force,
            };
            all.insert(name.to_string(), shown);
        }
        all
    }
}

/// The stored rule of this name. Another instance may just have put it there.
async fn known(book: &RuleBook, name: &str) -> Result<Option<SavedRule>, Fault> {
    if let Some(known) = book.get(name) {
        return Ok(Some(known));
    }
    book.synchronize().await?;
    Ok(book.get(name))
}
