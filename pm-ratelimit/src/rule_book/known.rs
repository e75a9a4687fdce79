use std::collections::BTreeMap;

use pm_core::Tick;

use super::bounds;
use super::{Edit, EditError, Position, RULES, SavedRule, SavedRules};
use crate::{InvalidRules, PolicyName, Rule, Rules};

/// What is to be changed, in the words of a store.
pub(super) type Edits = Vec<(PolicyName, Option<Rule>)>;

/// What an instance knows of the rules.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What the program was configured with.
    pub(super) configured: Rules,
    /// Up to where the changes of the store are known.
    pub(super) since: Position,
    /// The position of the rules.
    pub(super) at: Position,
    /// The rules of the store, by name.
    pub(super) saved: BTreeMap<Box<str>, SavedRule>,
    /// Why those of the store are not in force.
    pub(super) refused: Option<InvalidRules>,
    /// Whether that is because they cannot even be read: `saved` are older ones.
    pub(super) unreadable: bool,
    /// When the store last answered.
    pub(super) answered: Option<Tick>,
}

impl Known {
    /// The rules of the store over those of the configuration.
    pub(super) fn rules(&self) -> Rules {
        let rules = self.saved.values().map(|saved| (&saved.name, &saved.rule));
        self.over_configured(rules.map(|(name, rule)| (name.as_str(), rule)).collect())
    }

    fn over_configured(&self, mut saved: BTreeMap<&str, &Rule>) -> Rules {
        let mut rules = Rules::new();
        for (name, rule) in self.configured.iter() {
            let rule = saved.remove(name).unwrap_or(rule);
            rules = rules.rule(name, rule.clone());
        }
        for (name, rule) in saved {
            rules = rules.rule(name, rule.clone());
        }
        rules
    }

    /// What a store is to be told, and all rules as they are then; or why not.
    pub(super) fn check(&self, edits: &[Edit]) -> Result<(Edits, Rules), EditError> {
        if let (true, Some(refused)) = (self.unreadable, &self.refused) {
            return Err(EditError::Invalid(refused.clone()));
        }
        let mut checked = Edits::new();
        let mut saved: BTreeMap<&str, &Rule> = self
            .saved
            .iter()
            .map(|(name, saved)| (&**name, &saved.rule))
            .collect();
        for Edit { name, rule, seen } in edits {
            let valid = match rule {
                Some(rule) => bounds::check(name, rule)?,
                None => bounds::check_name(name)?,
            };
            let invalid = |message| InvalidRules::new(name, "name", message);
            if checked.len() == RULES {
                return Err(invalid("there are more than 1,000 edits: make several of it").into());
            }
            if checked.iter().any(|(other, _)| *other == valid) {
                return Err(invalid("there are two edits of this name").into());
            }
            let known = self.saved.get(name.as_str());
            let version = known.map_or(0, |known| known.version);
            let is_another = known.map(|known| &known.rule) != rule.as_ref();
            if is_another && seen.is_some_and(|seen| seen != version) {
                let rule = name.as_str().into();
                return Err(EditError::Conflict { rule, version });
            }
            match rule {
                Some(rule) => saved.insert(name, rule),
                None => saved.remove(name.as_str()),
            };
            if saved.len() > RULES {
                return Err(invalid("there are 1,000 rules already: remove one first").into());
            }
            checked.push((valid, rule.clone()));
        }
        Ok((checked, self.over_configured(saved)))
    }

    /// What these edits have made of the rules.
    pub(super) fn edited(&mut self, edits: Edits, version: u64) {
        self.at.version = version;
        for (name, rule) in edits {
            let key = name.as_str().into();
            match rule {
                Some(rule) if self.saved.get(&key).is_none_or(|known| known.rule != rule) => {
                    let saved = SavedRule {
                        name,
                        rule,
                        version,
                    };
                    self.saved.insert(key, saved);
                }
                Some(_) => {}
                None => {
                    self.saved.remove(&key);
                }
            }
        }
    }

    /// What the store tells of the rules. Returns whether that is new.
    pub(super) fn told(&mut self, epoch: u64, told: SavedRules) -> bool {
        let at = Position {
            epoch,
            version: told.version,
        };
        let is_known = std::mem::replace(&mut self.at, at) == at;
        match told.rules {
            Ok(rules) => {
                let by_name = |saved: SavedRule| (saved.name.as_str().into(), saved);
                self.saved = rules.into_iter().map(by_name).collect();
                self.unreadable = false;
            }
            Err(invalid) => {
                self.refused = Some(invalid);
                self.unreadable = true;
            }
        }
        !is_known
    }

    /// Everything that is known, for a store that has lost it.
    pub(super) fn all(&self) -> Edits {
        let edit = |saved: &SavedRule| (saved.name.clone(), Some(saved.rule.clone()));
        self.saved.values().map(edit).collect()
    }
}
