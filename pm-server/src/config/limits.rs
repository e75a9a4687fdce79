use std::{io, num::NonZeroU32, path::PathBuf, str::FromStr};

use clap::Args;
use pm_ratelimit::{InvalidRules, Limiter, MemoryStore, Quota, RuleBook, Rules};

use super::{
    ENV_CONNECTIONS, ENV_LIMITS, ENV_QUOTAS,
    limits_file::{self, Mistake},
};
use crate::limits::{built_in, with_quota};

/// Who may do how much: what is built in, then what a file says, then the quotas that are given.
#[derive(Clone, Debug, Args)]
pub struct Limits {
    /// A file that changes, adds and takes out limits, as JSON; SIGHUP reads it again
    #[arg(long = "limits", env = ENV_LIMITS, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Other quotas for limits that there are, by name, separated by commas, like
    /// user=600/minute,frames=80000/second
    #[arg(long, env = ENV_QUOTAS, value_name = "NAME=QUOTA", value_delimiter = ',')]
    quotas: Vec<NamedQuota>,

    /// Sockets at the same time of one client address
    #[arg(long, env = ENV_CONNECTIONS, value_name = "COUNT", default_value = "64",
          value_parser = connections)]
    pub connections: NonZeroU32,
}

/// Why limits cannot be put into force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LimitsError {
    /// The file cannot be read.
    #[error("the file of --limits, {path}, cannot be read: {source}")]
    Read {
        /// Where it was looked for.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Something in the file is wrong.
    #[error("{path}: {mistake}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what would be right.
        mistake: Mistake,
    },
    /// There is no limit to give the quota to.
    #[error("--quotas: there is no limit {name:?}; there are {known}")]
    UnknownLimit {
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// A quota that was given is none for its limit.
    #[error("--quotas: {0}")]
    Quota(InvalidRules),
    /// By themselves they are valid, and together with those that are stored they are not.
    #[error("together with the limits that are stored: {0}")]
    Together(InvalidRules),
}

impl Limits {
    /// What the file says now, with all the rest: valid rules. The file is read beside the threads that
    /// serve, so that one that hangs holds up nothing else.
    ///
    /// # Errors
    ///
    /// The file or a quota is wrong.
    pub async fn read(&self) -> Result<Rules, LimitsError> {
        let mut rules = built_in();
        if let Some(path) = &self.file {
            let text = tokio::fs::read_to_string(path).await;
            let text = text.map_err(|source| LimitsError::Read {
                path: path.clone(),
                source,
            })?;
            rules = limits_file::amend(rules, &text).map_err(|mistake| LimitsError::File {
                path: path.clone(),
                mistake,
            })?;
        }
        for NamedQuota { name, quota } in &self.quotas {
            rules = with_quota(&rules, name, *quota).ok_or_else(|| unknown(name, &rules))?;
        }
        let tried = Limiter::builder(rules.clone())
            .store(MemoryStore::bounded(1))
            .build();
        tried.map_err(|invalid| self.blame(invalid))?;
        Ok(rules)
    }

    /// Reads the file again, and puts what it says into force, under the rules that are stored.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read); or it does not go together with what is stored. All rules stay as
    /// they were then.
    pub async fn reload(&self, book: &RuleBook) -> Result<(), LimitsError> {
        let configured = book.configure(self.read().await?);
        configured.map_err(LimitsError::Together)
    }

    /// Whose fault it is that rules do not go together: what is built in does.
    fn blame(&self, invalid: InvalidRules) -> LimitsError {
        let mut quotas = self.quotas.iter();
        match &self.file {
            Some(path) if !quotas.any(|given| given.name == invalid.rule()) => LimitsError::File {
                path: path.clone(),
                mistake: Mistake::Invalid(invalid),
            },
            _ => LimitsError::Quota(invalid),
        }
    }
}

fn unknown(name: &str, rules: &Rules) -> LimitsError {
    let mut known: Vec<_> = rules.iter().map(|(name, _)| name).collect();
    known.sort_unstable();
    LimitsError::UnknownLimit {
        name: name.chars().take(64).collect(),
        known: known.join(", "),
    }
}

/// `user=600/minute`: another quota for one limit.
#[derive(Clone, Debug)]
struct NamedQuota {
    name: String,
    quota: Quota,
}

impl FromStr for NamedQuota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, quota) = text
            .split_once('=')
            .ok_or("write the name of a limit and its quota, like user=600/minute burst 200")?;
        let quota = quota.trim().parse();
        Ok(Self {
            name: name.trim().to_owned(),
            quota: quota.map_err(|error: pm_ratelimit::InvalidQuota| error.to_string())?,
        })
    }
}

fn connections(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .map_err(|_| "write how many, at least 1, like 64".to_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::{CommandFactory, FromArgMatches};
    use pm_core::Identity;
    use pm_ratelimit::{By, Op, Rule, Subject, rule_book::Edit};
    use tokio::runtime::Runtime;

    use super::*;
    use crate::config::Arguments;

    fn limits(words: &[&str]) -> Limits {
        let words = std::iter::once("pm-server").chain(words.iter().copied());
        let matches = Arguments::command().try_get_matches_from(words);
        Limits::from_arg_matches(&matches.unwrap()).unwrap()
    }

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn path(file: &Path) -> &str {
        file.to_str().unwrap()
    }

    fn with_file(text: &str) -> Result<Limiter, LimitsError> {
        limiter(&limits(&["--limits", path(written(text).path())]))
    }

    /// What decides by these limits.
    fn limiter(limits: &Limits) -> Result<Limiter, LimitsError> {
        let rules = Runtime::new().unwrap().block_on(limits.read())?;
        Ok(Limiter::builder(rules).build().expect("they are valid"))
    }

    /// The quotas by name, as they read.
    fn quotas(limiter: &Limiter) -> Vec<(String, String)> {
        let explained = limiter.explain(&Subject::new(), Op::from(1));
        let quota =
            |rule: &pm_ratelimit::Explained| (rule.rule().to_string(), rule.quota().to_string());
        let mut quotas: Vec<_> = explained.rules().iter().map(quota).collect();
        quotas.sort();
        quotas
    }

    fn quota(limiter: &Limiter, name: &str) -> Option<String> {
        let mut quotas = quotas(limiter).into_iter();
        quotas
            .find(|(known, _)| known == name)
            .map(|(_, quota)| quota)
    }

    #[test]
    fn without_a_word_it_is_what_is_built_in() {
        let limiter = limiter(&limits(&[])).unwrap();
        assert_eq!(limiter.rules(), built_in());
    }

    #[test]
    fn a_file_changes_adds_and_takes_out() {
        let limiter = with_file(
            r#"{
                "client": {"by": "client", "quota": "10/second"},
                "changes": {"on": "frame.mutate", "by": "user", "quota": "7/second burst 20"},
                "context": null
            }"#,
        )
        .unwrap();
        assert_eq!(quota(&limiter, "client").unwrap(), "10/second");
        assert_eq!(quota(&limiter, "changes").unwrap(), "7/second burst 20");
        assert_eq!(quota(&limiter, "context"), None);
        assert_eq!(quotas(&limiter).len(), built_in().iter().len());
        assert_eq!(with_file("{}").unwrap().rules(), built_in());
    }

    #[test]
    fn a_quota_that_is_given_goes_before_the_file_and_leaves_the_rest_of_the_rule() {
        let file = written(r#"{"user": {"by": "user", "quota": "1/day", "roles": {"admin": 9}}}"#);
        let given = ["--limits", path(file.path()), "--quotas"];
        let given = [&given[..], &["user=2/day,client = 7/minute burst 9"]].concat();
        let limiter = limiter(&limits(&given)).unwrap();
        assert_eq!(quota(&limiter, "user").unwrap(), "2/day");
        assert_eq!(quota(&limiter, "client").unwrap(), "7/minute burst 9");
        let admin = Identity::new("ada").with_roles(["ADMIN"]);
        let explained = limiter.explain(&Subject::identity(&admin), Op::from(1));
        let user = explained
            .applying()
            .find(|rule| rule.rule().as_str() == "user");
        assert_eq!(user.unwrap().quota().to_string(), "18/day");
    }

    #[test]
    fn a_mistake_is_named_with_file_rule_and_field_and_what_would_be_right() {
        for (text, parts) in [
            ("", &["EOF", "write rules by name"][..]),
            ("[]", &["expected a map of names", "write rules by name"]),
            (
                r#"{"user": 5}"#,
                &[r#"rule "user""#, "write fields, like", "or null"],
            ),
            (
                r#"{"usr": null}"#,
                &[r#"rule "usr""#, "none of this name to take out"],
            ),
            (
                r#"{"user": {"quota": "1/day"}, "user": null}"#,
                &[r#"rule "user""#, "twice"],
            ),
            (
                r#"{"user": {"quota": "1/day", "quota": "2/day"}}"#,
                &[r#"rule "user", field `quota`"#, "twice"],
            ),
            (
                r#"{"user": {"quote": "1/day"}}"#,
                &[
                    r#"rule "user", field `quote`"#,
                    "expected one of `on`, `by`, `quota`",
                ],
            ),
            (
                r#"{"user": {"by": "user", "quota": "many"}}"#,
                &[r#"rule "user", field `quota`"#, "300/minute"],
            ),
            (
                r#"{"user": {"by": "user"}}"#,
                &[
                    r#"rule "user", field `quota`"#,
                    "it is missing",
                    "300/minute",
                ],
            ),
            (
                r#"{"user": {"by": "ip", "quota": "1/day"}}"#,
                &[r#"rule "user", field `by`"#, "user, client"],
            ),
            (
                r#"{"key": {"by": "api-key", "quota": "1/day"}}"#,
                &[r#"rule "key", field `by`"#, "this server knows"],
            ),
            (
                r#"{"card": {"by": "custom:card", "quota": "1/day"}}"#,
                &[r#"rule "card", field `by`"#, "this server knows"],
            ),
            (
                r#"{"reads": {"on": "/api/{*all}", "by": "connection", "quota": "1/day"}}"#,
                &[
                    r#"rule "reads", field `by`"#,
                    "only frames have a connection",
                ],
            ),
            (
                r#"{"reads": {"on": "get /api", "quota": "1/day"}}"#,
                &[r#"rule "reads", field `on`"#, "POST /login"],
            ),
            (
                r#"{"changes": {"on": "frame.mutat", "quota": "1/day"}}"#,
                &[r#"rule "changes", field `on`"#, "frame.mutate"],
            ),
            (
                r#"{"user": {"by": "user", "stage": "edge", "quota": "1/day"}}"#,
                &[r#"rule "user", field `stage`"#, "leave it out"],
            ),
            (
                r#"{"f": {"on": "frame.*", "by": "client", "stage": "edge", "quota": "1/day"}}"#,
                &[r#"rule "f", field `stage`"#, "leave it out"],
            ),
            (
                r#"{"user": {"by": "user", "stage": "late", "quota": "1/day"}}"#,
                &[r#"rule "user", field `stage`"#, "`edge` or `identified`"],
            ),
            (
                r#"{"user": {"by": "user", "quota": "1/day", "roles": {"admin": "much"}}}"#,
                &[r#"rule "user", field `roles`"#, "5 or 5/2"],
            ),
            (
                r#"{"client": {"by": "client", "quota": "1/day", "roles": {"admin": 5}}}"#,
                &[r#"rule "client", field `roles`"#, "make it a rule by user"],
            ),
            (
                r#"{"user": {"by": "user", "quota": "1/day", "cost": 2}}"#,
                &[r#"rule "user", field `cost`"#, "at most the burst, 1"],
            ),
            (
                r#"{"user": {"by": "user", "quota": "1/day", "shadow": "yes"}}"#,
                &[r#"rule "user", field `shadow`"#, "expected a boolean"],
            ),
            (
                r#"{"": {"by": "user", "quota": "1/day"}}"#,
                &[r#"rule "", field `name`"#, "1 to 64"],
            ),
        ] {
            let file = written(text);
            let limits = limits(&["--limits", path(file.path())]);
            let error = limiter(&limits).expect_err(text).to_string();
            for part in parts.iter().chain([&path(file.path())]) {
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = limiter(&limits(&["--limits", "nowhere/limits.json"]));
        let error = error.expect_err("no file").to_string();
        assert!(
            error.contains("--limits") && error.contains("nowhere/limits.json"),
            "{error}"
        );
    }

    #[test]
    fn a_quota_for_what_is_not_there_is_answered_with_what_is() {
        let error = limiter(&limits(&["--quotas", "usr=1/day"]));
        assert_eq!(
            error.expect_err("no such limit").to_string(),
            "--quotas: there is no limit \"usr\"; there are client, connection, context, frames, \
             upgrade, user"
        );
        // Five times as much, for an admin, is more than there is.
        let error = limiter(&limits(&["--quotas", "user=300000/second"]));
        let error = error.expect_err("too much").to_string();
        assert!(
            error.contains("--quotas: rule \"user\", field `roles`") && error.contains("admin"),
            "{error}"
        );
    }

    #[test]
    fn what_is_read_again_replaces_the_old_unless_it_is_wrong() {
        let file = written(r#"{"client": {"by": "client", "quota": "1/minute"}}"#);
        let limits = limits(&["--limits", path(file.path())]);
        let runtime = Runtime::new().unwrap();
        let rules = runtime.block_on(limits.read()).unwrap();
        let book = RuleBook::builder(Limiter::builder(rules)).build().unwrap();
        let read_again = |text: &str| {
            fs::write(file.path(), text).unwrap();
            runtime.block_on(limits.reload(&book))
        };
        let (user, upgrade) = (
            Rule::always().by(By::User).quota(Quota::per_day(1)),
            Rule::on("GET /ws").quota(Quota::per_day(2)),
        );
        let stored = [Edit::put("user", user), Edit::put("upgrade", upgrade)];
        runtime.block_on(book.edit(stored)).unwrap();

        read_again(r#"{"client": {"by": "client", "quota": "2/minute"}, "upgrade": null}"#)
            .unwrap();
        let in_force = || {
            let limiter = book.limiter();
            ["client", "user", "upgrade"].map(|name| quota(&limiter, name).unwrap())
        };
        let stored_go_before = ["2/minute", "1/day", "2/day"];
        assert_eq!(in_force(), stored_go_before);
        for (bad, why) in [
            ("{", "EOF"),
            (r#"{"client": {"by": "client"}}"#, "it is missing"),
        ] {
            let error = read_again(bad).expect_err(bad).to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(in_force(), stored_go_before);
        }

        // Each is valid without the other.
        let five = |stored: &str| {
            let rule =
                |number| format!(r#""{stored}{number}": {{"by": "user", "quota": "1/day"}}"#);
            let rules: Vec<String> = (0..5).map(rule).collect();
            format!("{{{}}}", rules.join(", "))
        };
        let rules: Rules = serde_json::from_str(&five("stored")).unwrap();
        let edits = rules
            .iter()
            .map(|(name, rule)| Edit::put(name, rule.clone()));
        runtime.block_on(book.edit(edits)).unwrap();
        let error = read_again(&five("file")).expect_err("too many").to_string();
        assert!(
            error.contains("together with the limits that are stored") && error.contains("stage"),
            "{error}"
        );
        assert_eq!(in_force(), stored_go_before);
    }

    #[test]
    fn the_example_in_the_readme_is_a_file() {
        let readme = include_str!("../../README.md");
        let (_, example) = readme.split_once("```json\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let limiter = with_file(example).unwrap();
        assert_ne!(limiter.rules(), built_in());
    }

    #[test]
    fn the_table_in_the_readme_is_what_is_built_in() {
        let readme = include_str!("../../README.md");
        for (name, quota) in quotas(&limiter(&limits(&[])).unwrap()) {
            let row = readme
                .lines()
                .find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("no row for {name}"));
            assert!(row.contains(&format!("| `{quota}` |")), "{quota}: {row}");
        }
    }
}
