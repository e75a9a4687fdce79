use std::net::IpAddr;

use pm_core::ClientIp;
use serde::Serialize;

use super::Shared;
use super::answer::{Answer, Fault};
use super::service::Asked;
use crate::Violation;

/// The latest violations of an address.
#[derive(Serialize)]
struct Recent {
    items: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    at_micros: i64,
    addr: IpAddr,
    endpoint: Box<str>,
    request_id: Option<Box<str>>,
}

impl Shared {
    pub(super) async fn recent_violations(
        &self,
        addr: IpAddr,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let violations = self.violations.as_ref();
        let violations = violations
            .ok_or_else(|| Fault::not_given("record of violations", "Admin::with_violations"))?;
        let limit = asked.query.limit()?;
        let recent = violations.recent(ClientIp::from(addr), limit).await?;
        let shown = |violation: &Violation| Shown {
            at_micros: violation.at_micros(),
            addr: violation.addr(),
            endpoint: violation.endpoint().into(),
            request_id: violation.request_id().map(|id| id.as_str().into()),
        };
        Answer::json(&Recent {
            items: recent.iter().map(shown).collect(),
        })
    }
}
