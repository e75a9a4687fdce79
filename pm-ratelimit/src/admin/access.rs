use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{Extensions, HeaderValue, StatusCode};
use pm_core::{Identity, Problem};

use super::answer::Fault;

/// Who may administer.
#[derive(Clone)]
pub(super) struct Access {
    may: Arc<dyn Fn(&Identity) -> bool + Send + Sync>,
    challenge: HeaderValue,
}

impl Access {
    pub(super) fn with(self, may: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        Self {
            may: Arc::new(may),
            ..self
        }
    }

    pub(super) fn with_challenge(self, challenge: HeaderValue) -> Self {
        Self { challenge, ..self }
    }

    /// Whoever is calling, if they may.
    pub(super) fn admit<'r>(&self, extensions: &'r Extensions) -> Result<&'r Identity, Fault> {
        let Some(identity) = extensions.get::<Identity>() else {
            let problem = Problem::new(StatusCode::UNAUTHORIZED)
                .with_detail("this is for those who run the service: say who you are");
            return Err(Fault::from(problem).with_header(WWW_AUTHENTICATE, self.challenge.clone()));
        };
        if (self.may)(identity) {
            return Ok(identity);
        }
        let problem = Problem::new(StatusCode::FORBIDDEN)
            .with_detail("this is for those who run the service, and you are none of them");
        Err(problem.into())
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            may: Arc::new(|identity| identity.tenant().is_none() && identity.has_role("admin")),
            challenge: HeaderValue::from_static("Bearer"),
        }
    }
}
