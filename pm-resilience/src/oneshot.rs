use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// A service that is waited for and called once: what an attempt consists of. That the service
    /// is not ready, or will never be, is an outcome of the attempt like any other.
    #[project = OneshotProj]
    pub(crate) enum Oneshot<S, Req>
    where
        S: Service<Req>,
    {
        Waiting {
            service: S,
            // Only empty behind the call.
            request: Option<Req>,
        },
        Calling {
            #[pin]
            inner: S::Future,
        },
    }
}

impl<S: Service<Req>, Req> Oneshot<S, Req> {
    pub(crate) const fn new(service: S, request: Req) -> Self {
        Self::Waiting {
            service,
            request: Some(request),
        }
    }
}

impl<S: Service<Req>, Req> Future for Oneshot<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let inner = match self.as_mut().project() {
                OneshotProj::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("called once, and the state is left");
                    service.call(request)
                }
                OneshotProj::Calling { inner } => return inner.poll(cx),
            };
            self.set(Self::Calling { inner });
        }
    }
}
