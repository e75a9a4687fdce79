use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A body that holds something, such as a permit, until it has ended, or failed, or is dropped.
    pub struct HeldBody<B, H> {
        #[pin]
        body: B,
        held: Option<H>,
    }
}

impl<B, H> HeldBody<B, H> {
    /// `body`, which holds `held`, if there is anything to be held.
    pub const fn new(body: B, held: Option<H>) -> Self {
        Self { body, held }
    }
}

impl<B, H> Body for HeldBody<B, H>
where
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
            *this.held = None;
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

impl<B: fmt::Debug, H> fmt::Debug for HeldBody<B, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBody")
            .field("body", &self.body)
            .field("holds", &self.held.is_some())
            .finish()
    }
}
