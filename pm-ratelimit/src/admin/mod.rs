//! Rules, quotas, blocks and emergencies over HTTP, for those who run the service.
//!
//! [`Admin`] is a [`tower_service::Service`], to be mounted behind whatever tells who is calling. What
//! it answers, and to what, is described by the OpenAPI document that it serves as `/openapi.json`.

mod access;
mod answer;
mod blocks;
mod body;
mod bounds;
mod emergency;
mod explain;
mod metrics;
mod page;
mod precondition;
mod quotas;
mod resource;
mod rules;
mod service;
mod violations;

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;
use pm_core::Identity;

use self::access::Access;
use crate::{BlockList, Limiter, RuleBook, Violations};

pub use self::service::ResponseFuture;

/// The OpenAPI 3.1 document of everything that an [`Admin`] answers; what it serves as
/// `/openapi.json`. Paths are relative to where it is mounted.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Administers a [`Limiter`] and what belongs to it: an HTTP service, to be mounted.
///
/// **It has to be behind your own authentication.** Whoever may use it can let anybody in and keep
/// everybody out. It authenticates nobody: it goes by the [`Identity`] that your layer puts into the
/// extensions of a request, and by nothing that a client sends. Without one it answers 401, whatever
/// was asked; to whoever may not administer, 403. By default those may who have the role `admin` and
/// act in no tenant: the administrator of one tenant is not one of the whole service.
///
/// ```
/// use pm_ratelimit::admin::Admin;
/// use pm_ratelimit::{BlockList, Limiter, Quota, Rule, Rules, Violations};
///
/// # async fn authenticate(request: axum::extract::Request, next: axum::middleware::Next)
/// #     -> axum::response::Response { next.run(request).await }
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (blocks, violations) = (BlockList::builder().build(), Violations::builder().build());
/// let limiter = Limiter::builder(Rules::new().rule("all", Rule::always().quota(Quota::per_minute(300))))
///     .observer(violations.clone())
///     .observer(blocks.clone())
///     .count_decisions()
///     .build()?;
/// let admin = Admin::new(limiter).with_blocks(blocks).with_violations(violations);
///
/// let app: axum::Router = axum::Router::new()
///     .nest_service("/admin/limits", admin)
///     .layer(axum::middleware::from_fn(authenticate)); // yours
/// # Ok(()) }
/// ```
///
/// What it has not been given it answers with 404, and says which method adds it. Bodies are JSON of at
/// most 64 KiB, and fields that it does not know are refused by name. Every error is a problem (RFC
/// 9457). To send the same `PUT` again changes nothing more; a time in seconds begins anew.
#[derive(Clone)]
pub struct Admin(Arc<Shared>);

#[derive(Clone)]
struct Shared {
    limiter: Limiter,
    book: Option<RuleBook>,
    blocks: Option<BlockList>,
    violations: Option<Violations>,
    access: Access,
    path: Box<str>,
}

impl Admin {
    /// Administers this limiter, and its [emergencies](crate::LimiterBuilder::emergency), if it has
    /// them: whose rules can be read and explained, not changed.
    #[must_use]
    pub fn new(limiter: Limiter) -> Self {
        Self(Arc::new(Shared {
            limiter,
            book: None,
            blocks: None,
            violations: None,
            access: Access::default(),
            path: "".into(),
        }))
    }

    /// Rules and quotas of users can be changed, too. It is the book of the same limiter.
    #[must_use]
    pub fn with_rule_book(self, book: RuleBook) -> Self {
        self.with(|shared| shared.book = Some(book))
    }

    /// Addresses can be kept out and let in, too.
    #[must_use]
    pub fn with_blocks(self, blocks: BlockList) -> Self {
        self.with(|shared| shared.blocks = Some(blocks))
    }

    /// Shows who is refused, and where, too.
    #[must_use]
    pub fn with_violations(self, violations: Violations) -> Self {
        self.with(|shared| shared.violations = Some(violations))
    }

    /// Other people may administer: those of whom this is true. It takes the place of the default, the
    /// role `admin` and no tenant.
    #[must_use]
    pub fn with_access(self, may: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        self.with(|shared| shared.access = shared.access.clone().with(may))
    }

    /// What 401 says about how to authenticate (`WWW-Authenticate`, RFC 9110 §11.6.1). Without it,
    /// `Bearer`.
    #[must_use]
    pub fn with_challenge(self, challenge: HeaderValue) -> Self {
        self.with(|shared| shared.access = shared.access.clone().with_challenge(challenge))
    }

    /// Where it is mounted, by whoever leaves that on the path, such as a service without a router:
    /// `/admin/limits`. A router that takes it away, as axum's `nest_service` does, needs nothing.
    #[must_use]
    pub fn with_path(self, path: &str) -> Self {
        self.with(|shared| shared.path = path.trim_end_matches('/').into())
    }

    fn with(self, change: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.0);
        change(&mut shared);
        Self(Arc::new(shared))
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("limiter", &self.0.limiter)
            .field("book", &self.0.book)
            .field("blocks", &self.0.blocks)
            .field("violations", &self.0.violations)
            .finish_non_exhaustive()
    }
}
