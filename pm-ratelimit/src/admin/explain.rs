use std::net::IpAddr;

use http::{Method, StatusCode};
use pm_core::{ClientIp, Identity};
use serde::{Deserialize, Serialize};

use super::Shared;
use super::answer::{Answer, Fault};
use super::blocks::Shown as ShownBlock;
use crate::{Because, By, Explained, Op, Quota, Stage, Subject};

/// Who asks for what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wanted {
    user: Option<String>,
    tenant: Option<String>,
    roles: Vec<String>,
    client: Option<IpAddr>,
    api_key: Option<String>,
    connection: Option<u64>,
    custom: Option<Custom>,
    method: String,
    path: Option<String>,
    operation: Option<String>,
    stage: Stage,
    cost: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Custom {
    kind: String,
    value: String,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            user: None,
            tenant: None,
            roles: Vec::new(),
            client: None,
            api_key: None,
            connection: None,
            custom: None,
            method: "GET".to_owned(),
            path: None,
            operation: None,
            stage: Stage::Identified,
            cost: 1,
        }
    }
}

/// Why it would be decided as it would be.
#[derive(Serialize)]
struct Answered {
    /// What keeps the client out before any rule is asked.
    blocked: Option<ShownBlock>,
    /// The profile that has reduced the quotas.
    emergency: Option<String>,
    rules: Vec<ShownRule>,
}

#[derive(Serialize)]
struct ShownRule {
    rule: String,
    applies: bool,
    because: &'static str,
    explanation: String,
    quota: Quota,
    /// What was assigned to this user, in the place of the rule's.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_quota: Option<Quota>,
    role: Option<String>,
    shadow: bool,
    reduced: bool,
}

impl Shared {
    pub(super) async fn explain(&self, wanted: Wanted) -> Result<Answer, Fault> {
        let user = wanted.user.as_deref().map(|user| {
            let identity = Identity::new(user).with_roles(&wanted.roles);
            match &wanted.tenant {
                Some(tenant) => identity.with_tenant(tenant.as_str()),
                None => identity,
            }
        });
        let explanation = {
            let subject = wanted.subject(user.as_ref());
            let method = wanted
                .method
                .parse()
                .map_err(|_| invalid("`method` is none"))?;
            self.limiter.explain(&subject, wanted.op(&method)?)
        };
        let mut rules = Vec::new();
        for explained in explanation.rules() {
            let own_quota = match &user {
                Some(user) if explained.applies() => self.own_quota(explained, user).await?,
                _ => None,
            };
            rules.push(ShownRule::new(explained, own_quota));
        }
        let client = wanted.client.map(ClientIp::from);
        let blocked = (self.blocks.as_ref()).and_then(|blocks| {
            let blocked = blocks.find(client?)?;
            blocks.get(blocked.prefix())
        });
        Answer::json(&Answered {
            blocked: blocked.map(|listed| ShownBlock::of(&listed.entry)),
            emergency: explanation.emergency().map(ToOwned::to_owned),
            rules,
        })
    }

    async fn own_quota(
        &self,
        explained: &Explained,
        user: &Identity,
    ) -> Result<Option<Quota>, Fault> {
        let (Some(book), name) = (&self.book, explained.rule().as_str()) else {
            return Ok(None);
        };
        let rules = self.limiter.rules();
        let mut rules = rules.iter().filter(|(known, _)| *known == name);
        if !rules.any(|(_, rule)| matches!(rule.by, By::Caller | By::User)) {
            return Ok(None);
        }
        Ok(book.quota(name, user).await?)
    }
}

impl Wanted {
    fn subject<'w>(&'w self, user: Option<&'w Identity>) -> Subject<'w> {
        let mut subject = user.map_or_else(Subject::new, Subject::identity);
        if let Some(client) = self.client {
            subject = subject.client(client);
        }
        if let Some(key) = &self.api_key {
            subject = subject.api_key(key);
        }
        if let Some(number) = self.connection {
            subject = subject.connection(number);
        }
        if let Some(Custom { kind, value }) = &self.custom {
            subject = subject.custom(kind, value);
        }
        subject
    }

    fn op<'w>(&'w self, method: &'w Method) -> Result<Op<'w>, Fault> {
        let op = match (&self.path, &self.operation) {
            (Some(path), None) => Op::request(method, path)
                .map_err(|_| invalid("`path` can be read in more than one way"))?,
            (None, Some(operation)) => Op::new(operation),
            (None, None) => Op::from(1),
            (Some(_), Some(_)) => return Err(invalid("`path` and `operation` are one too many")),
        };
        Ok(op.stage(self.stage).cost(self.cost))
    }
}

fn invalid(detail: &str) -> Fault {
    Fault::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

impl ShownRule {
    fn new(explained: &Explained, own_quota: Option<Quota>) -> Self {
        let because = explained.because();
        Self {
            rule: explained.rule().to_string(),
            applies: explained.applies(),
            because: match because {
                Because::Always => "always",
                Because::Beaten(_) => "beaten",
                Because::Elsewhere => "elsewhere",
                Because::MostSpecific => "most-specific",
                Because::Unidentified => "unidentified",
            },
            explanation: because.to_string(),
            quota: *explained.quota(),
            own_quota,
            role: explained.role().map(ToOwned::to_owned),
            shadow: explained.is_shadow(),
            reduced: explained.is_reduced(),
        }
    }
}
