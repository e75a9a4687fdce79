//! The response future of [`RateLimit`](crate::RateLimit).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use pm_core::ResponseBody;
use tower_service::Service;

use crate::headers::Fields;
use crate::layer::{Admission, Answer};
use crate::limiter::{Decided, PendingDecision};

pin_project! {
    /// A request that waits for the decision, or for the inner service, or is refused.
    ///
    /// With a memory store it starts out decided, and nothing is allocated for it. Dropping it
    /// drops the inner service's future, or the inner service that was ready.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, B> {
        Deciding {
            decision: PendingDecision,
            // What is called if the decision is yes. Only empty behind the decision.
            waiting: Option<(S, Request<B>)>,
            admission: Arc<Admission>,
        },
        Calling {
            #[pin]
            inner: F,
            fields: Fields,
        },
        Refused {
            response: Option<Response<Bytes>>,
        },
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn deciding(
        decision: PendingDecision,
        waiting: (S, Request<B>),
        admission: Arc<Admission>,
    ) -> Self {
        Self {
            state: State::Deciding {
                decision,
                waiting: Some(waiting),
                admission,
            },
        }
    }

    #[inline]
    pub(crate) const fn calling(inner: S::Future, fields: Fields) -> Self {
        Self {
            state: State::Calling { inner, fields },
        }
    }

    pub(crate) fn refused(response: Response<Bytes>) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Deciding {
                    decision,
                    waiting,
                    admission,
                } => {
                    let decided = ready!(decision.as_mut().poll(cx));
                    let (mut service, request) = waiting
                        .take()
                        .expect("the decision is made once, and the state is left");
                    let Decided {
                        rules,
                        picks,
                        decision,
                    } = decided;
                    match admission.settle(&rules, &picks, decision.as_ref(), &request) {
                        Answer::Admitted(fields) => State::Calling {
                            inner: service.call(request),
                            fields,
                        },
                        Answer::Refused(response) => State::Refused {
                            response: Some(response),
                        },
                    }
                }
                StateProj::Calling { inner, fields } => {
                    let mut response = ready!(inner.poll(cx))?.map(ResponseBody::inner);
                    fields.write(response.headers_mut());
                    return Poll::Ready(Ok(response));
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect("not polled after it was done");
                    return Poll::Ready(Ok(response.map(ResponseBody::early)));
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Deciding { .. } => "deciding",
            State::Calling { .. } => "calling",
            State::Refused { .. } => "refused",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
