use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;
use pm_core::ResponseBody;

use super::{Permit, PermitBody};

pin_project! {
    /// A request that holds a permit, or is refused. Dropping it gives the permit back.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling {
            #[pin]
            inner: F,
            permit: Option<Permit>,
        },
        Refused {
            response: Option<Response<Bytes>>,
        },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn calling(inner: F, permit: Permit) -> Self {
        Self {
            state: State::Calling {
                inner,
                permit: Some(permit),
            },
        }
    }

    pub(super) const fn refused(response: Response<Bytes>) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<PermitBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { inner, permit } => {
                let response = ready!(inner.poll(cx));
                // Also if there is no response: the future may be kept for longer than it is used.
                let permit = permit.take();
                Poll::Ready(response.map(|response| {
                    response.map(|body| PermitBody::new(ResponseBody::inner(body), permit))
                }))
            }
            StateProj::Refused { response } => {
                let response = response.take().expect("not polled after it was done");
                let early = |body| PermitBody::new(ResponseBody::early(body), None);
                Poll::Ready(Ok(response.map(early)))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Calling { .. } => "calling",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
