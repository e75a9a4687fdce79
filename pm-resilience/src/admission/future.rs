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

use super::gate::{Wait, sealed::Sealed};
use super::layer::{Door, Until};
use super::{Gate, PermitBody};

pin_project! {
    /// A request that waits for its permit, has one, or is refused. Only waiting allocates. Dropping it
    /// gives the permit, or the place in the queue, back.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<G, S, B>
    where
        G: Sealed,
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<G, G::Permit, S, S::Future, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<G, P, S, F, B> {
        Waiting {
            wait: Wait<P>,
            // What is called with the permit. Only empty behind the waiting.
            waiting: Option<(S, Request<B>)>,
            door: Arc<Door<G>>,
        },
        Calling {
            // Dropped before its permit.
            #[pin]
            inner: F,
            permit: Option<P>,
            until: Until,
        },
        Refused {
            response: Option<Response<Bytes>>,
        },
        Done,
    }
}

impl<G, S, B> ResponseFuture<G, S, B>
where
    G: Gate,
    S: Service<Request<B>>,
{
    pub(super) fn waiting(
        wait: Wait<G::Permit>,
        waiting: (S, Request<B>),
        door: Arc<Door<G>>,
    ) -> Self {
        Self {
            state: State::Waiting {
                wait,
                waiting: Some(waiting),
                door,
            },
        }
    }

    pub(super) fn calling(inner: S::Future, permit: G::Permit, until: Until) -> Self {
        Self {
            state: State::Calling {
                inner,
                permit: Some(permit),
                until,
            },
        }
    }

    pub(super) fn refused(response: Response<Bytes>) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }
}

impl<G, S, B, ResBody> Future for ResponseFuture<G, S, B>
where
    G: Gate,
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<PermitBody<G, ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Waiting {
                    wait,
                    waiting,
                    door,
                } => {
                    let acquired = ready!(wait.0.as_mut().poll(cx));
                    let waiting = waiting.take();
                    let (mut service, request) =
                        waiting.expect("it is waited for once, and the state is left");
                    match acquired {
                        Ok(permit) => State::Calling {
                            inner: service.call(request),
                            permit: Some(permit),
                            until: door.until,
                        },
                        Err(rejection) => State::Refused {
                            response: Some(door.refuse(&rejection)),
                        },
                    }
                }
                StateProj::Calling {
                    inner,
                    permit,
                    until,
                } => {
                    let result = ready!(inner.poll(cx));
                    let (permit, until) = (permit.take(), *until);
                    let result = result.map(|response| {
                        let (status, headers) = (response.status(), response.headers());
                        let permit = permit
                            .and_then(|permit| G::answered(permit, status, headers))
                            .filter(|_| until == Until::BodyEnd);
                        response
                            .map(|body| PermitBody::<G, _>::new(ResponseBody::inner(body), permit))
                    });
                    // Also if this is kept for longer than it is used.
                    this.state.set(State::Done);
                    return Poll::Ready(result);
                }
                StateProj::Refused { response } => {
                    let response = response.take().expect("not polled after it was done");
                    let early = |body| PermitBody::<G, _>::new(ResponseBody::early(body), None);
                    return Poll::Ready(Ok(response.map(early)));
                }
                StateProj::Done => panic!("polled after it was done"),
            };
            this.state.set(next);
        }
    }
}

impl<G, S, B> fmt::Debug for ResponseFuture<G, S, B>
where
    G: Sealed,
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting { .. } => "waiting",
            State::Calling { .. } => "calling",
            State::Refused { .. } => "refused",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
