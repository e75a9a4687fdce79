use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body as HttpBody;
use pm_core::Context;
use tower_service::Service;

use super::answer::{Answer, Body, Fault};
use super::page::Query;
use super::precondition::Precondition;
use super::resource::Resource;
use super::{Admin, OPENAPI, Shared, body};

/// An answer that is being made. Dropping it leaves nothing half done: what was asked has been done or
/// not.
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Response<Body>> + Send>>);

/// What is asked, by whom.
pub(super) struct Asked<'a> {
    pub(super) parts: &'a Parts,
    pub(super) query: Query,
    pub(super) actor: &'a str,
}

impl<B> Service<Request<B>> for Admin
where
    B: HttpBody + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let admin = self.clone();
        let (parts, body) = request.into_parts();
        ResponseFuture(Box::pin(async move {
            match admin.0.answer(&parts, body).await {
                Ok(answer) => answer.into_response(),
                Err(fault) => {
                    let context = parts.extensions.get::<Context>();
                    fault.into_response(context.map(|context| context.request_id().clone()))
                }
            }
        }))
    }
}

impl Shared {
    async fn answer<B: HttpBody>(&self, parts: &Parts, body: B) -> Result<Answer, Fault> {
        // First of all: to others nothing is told, not even what there is.
        let actor = self.access.admit(&parts.extensions)?.subject();
        let path = parts.uri.path().strip_prefix(&*self.path);
        let resource = Resource::of(path.unwrap_or_default())?;
        let method = resource.check(&parts.method)?;
        let asked = Asked {
            parts,
            query: Query::parse(parts.uri.query(), resource.parameters())?,
            actor,
        };
        if method != Method::PUT && method != Method::DELETE {
            return self.carry_out(&method, resource, &asked, body).await;
        }
        if !matches!(resource, Resource::Rule(_)) {
            Precondition::none_of(&parts.headers)?;
        }
        // Before and behind: whoever hangs up meanwhile may have changed it all the same.
        tracing::info!(actor, %method, path, "an administrator asks for a change");
        let answer = self.carry_out(&method, resource, &asked, body).await?;
        tracing::info!(actor, %method, path, "an administrator has changed something");
        Ok(answer)
    }

    async fn carry_out<B: HttpBody>(
        &self,
        method: &Method,
        resource: Resource,
        asked: &Asked<'_>,
        body: B,
    ) -> Result<Answer, Fault> {
        let (headers, clock) = (&asked.parts.headers, &self.limiter.settings().clock);
        let (puts, deletes) = (method == Method::PUT, method == Method::DELETE);
        match resource {
            Resource::Block(prefix) if puts => {
                let body = body::read(headers, body, clock);
                self.put_block(prefix, body.await?, asked).await
            }
            Resource::Block(prefix) if deletes => self.lift_block(prefix, asked).await,
            Resource::Block(prefix) => self.block(prefix),
            Resource::Blocks => self.blocks(asked),
            Resource::Emergency if puts => {
                let body = body::read(headers, body, clock);
                self.declare_emergency(body.await?, asked)
            }
            Resource::Emergency if deletes => self.leave_emergency(asked),
            Resource::Emergency => self.emergency(),
            Resource::Explain => {
                let body = body::read(headers, body, clock);
                self.explain(body.await?).await
            }
            Resource::Metrics => self.metrics(),
            Resource::OpenApi => Ok(Answer::document(OPENAPI)),
            Resource::Rule(name) if puts => {
                let body = body::read(headers, body, clock);
                self.put_rule(&name, body.await?, asked).await
            }
            Resource::Rule(name) if deletes => self.remove_rule(&name, asked).await,
            Resource::Rule(name) => self.rule(&name),
            Resource::Rules => self.rules(asked),
            Resource::UserQuota { user, rule } if puts => {
                let body = body::read(headers, body, clock);
                self.assign_quota(&user, &rule, body.await?, asked).await
            }
            Resource::UserQuota { user, rule } if deletes => {
                self.withdraw_quota(&user, &rule, asked).await
            }
            Resource::UserQuota { user, rule } => self.user_quota(&user, &rule, asked).await,
            Resource::UserQuotas(user) => self.user_quotas(&user, asked).await,
            Resource::Violations(addr) => self.recent_violations(addr, asked).await,
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
