use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use pm_core::ResponseBody;

use super::gate::sealed::Sealed;

pin_project! {
    /// A body that holds a permit until it has ended, or failed, or is dropped.
    pub struct PermitBody<G, B>
    where
        G: Sealed,
    {
        #[pin]
        body: ResponseBody<B>,
        permit: Option<G::Permit>,
    }
}

impl<G: Sealed, B> PermitBody<G, B> {
    pub(super) const fn new(body: ResponseBody<B>, permit: Option<G::Permit>) -> Self {
        Self { body, permit }
    }
}

impl<G, B> Body for PermitBody<G, B>
where
    G: Sealed,
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            *this.permit = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<G: Sealed, B: fmt::Debug> fmt::Debug for PermitBody<G, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitBody")
            .field("body", &self.body)
            .field("holds", &self.permit.is_some())
            .finish()
    }
}
