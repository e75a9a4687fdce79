use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use pin_project_lite::pin_project;
use pm_core::{Clock, ResponseBody};
use tower::{Layer, Service};

use super::{AuthError, Keys, Verified, challenge};

/// Finds out who sends a request, from `Authorization: Bearer`.
///
/// A good token puts [`Verified`] and [`pm_core::Identity`] into the request's extensions, a bad one
/// is answered with 401, and a request without one passes through: whether that will do is for the
/// handler to say.
#[derive(Clone, Debug)]
pub struct AuthenticateLayer {
    keys: Arc<Keys>,
    clock: Clock,
}

impl AuthenticateLayer {
    /// A layer that takes the tokens that `keys` signed.
    #[must_use]
    pub const fn new(keys: Arc<Keys>, clock: Clock) -> Self {
        Self { keys, clock }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authenticate {
            inner,
            keys: self.keys.clone(),
            clock: self.clock.clone(),
        }
    }
}

/// What [`AuthenticateLayer`] builds.
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    keys: Arc<Keys>,
    clock: Clock,
}

impl<S> Authenticate<S> {
    fn identify(&self, headers: &HeaderMap) -> Result<Option<Verified>, AuthError> {
        let Some(token) = bearer(headers)? else {
            return Ok(None);
        };
        self.keys.verify(token, self.clock.wall_micros()).map(Some)
    }
}

impl<S, B, R> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.identify(request.headers()) {
            Ok(verified) => {
                if let Some(verified) = verified {
                    request.extensions_mut().insert(verified.identity.clone());
                    request.extensions_mut().insert(verified);
                }
                let future = self.inner.call(request);
                ResponseFuture {
                    kind: Kind::Inner { future },
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a token was refused");
                // What the inner service reserved when it became ready is free again.
                let unready = self.inner.clone();
                drop(mem::replace(&mut self.inner, unready));
                let response = Some(challenge(Some(error)));
                ResponseFuture {
                    kind: Kind::Refused { response },
                }
            }
        }
    }
}

/// The token of a request, if it has one. Two are none: which one counts would be a guess.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(AuthError::Malformed);
    }
    let value = value.to_str().map_err(|_| AuthError::Malformed)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(AuthError::Malformed),
    }
}

pin_project! {
    /// The future of [`Authenticate`]. Cancel-safe if the inner one is.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProject]
    #[derive(Debug)]
    enum Kind<F> {
        Inner { #[pin] future: F },
        Refused { response: Option<Response<Bytes>> },
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            KindProject::Inner { future } => future
                .poll(cx)
                .map_ok(|response| response.map(ResponseBody::inner)),
            KindProject::Refused { response } => {
                let response = response
                    .take()
                    .expect("a future is not polled after it is done");
                Poll::Ready(Ok(response.map(ResponseBody::early)))
            }
        }
    }
}
