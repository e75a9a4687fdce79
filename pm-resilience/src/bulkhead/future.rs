use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::Permit;
use crate::oneshot::Oneshot;
use crate::{Error, Rejection};

type Acquiring = Pin<Box<dyn Future<Output = Result<Permit, Rejection>> + Send>>;

pin_project! {
    /// A call that waits for its permit, for the inner service, or for the response. Nothing is
    /// allocated if there is a permit at once. Dropping it frees all of that.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, R>
    where
        S: Service<R>,
    {
        acquiring: Option<Acquiring>,
        // Only polled with a permit. Empty behind the end.
        #[pin]
        call: Option<Oneshot<S, R>>,
        permit: Option<Permit>,
    }
}

impl<S, R> ResponseFuture<S, R>
where
    S: Service<R>,
{
    pub(super) const fn permitted(call: Oneshot<S, R>, permit: Permit) -> Self {
        Self {
            acquiring: None,
            call: Some(call),
            permit: Some(permit),
        }
    }

    pub(super) const fn waiting(call: Oneshot<S, R>, acquiring: Acquiring) -> Self {
        Self {
            acquiring: Some(acquiring),
            call: Some(call),
            permit: None,
        }
    }
}

impl<S, R> Future for ResponseFuture<S, R>
where
    S: Service<R>,
{
    type Output = Result<S::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(acquiring) = this.acquiring {
            let permit = ready!(acquiring.as_mut().poll(cx));
            *this.acquiring = None;
            *this.permit = Some(permit?);
        }
        let call = this.call.as_mut().as_pin_mut();
        let result = ready!(call.expect("not polled after it was done").poll(cx));
        // Also if this future is kept for longer than it is used.
        this.call.set(None);
        *this.permit = None;
        Poll::Ready(result.map_err(Error::Inner))
    }
}

impl<S, R> fmt::Debug for ResponseFuture<S, R>
where
    S: Service<R>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}
