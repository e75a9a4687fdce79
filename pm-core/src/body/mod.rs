//! The body of a response that is either the inner service's or an early answer.
//!
//! A layer that may answer instead of the inner service returns
//! `Response<ResponseBody<B>>`: the inner body passes through untouched, and an answer of the
//! layer's own is a piece of [`Bytes`]. One that lets so many in at a time wraps it in a
//! [`HeldBody`].

mod held;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pub use self::held::HeldBody;

pin_project! {
    /// Either the inner service's body or an early answer; see the [module documentation](self).
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Early { data: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    /// The body of the inner service's response.
    pub const fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner { body },
        }
    }

    /// The whole body of an early answer.
    #[must_use]
    pub fn early(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self {
            kind: Kind::Early {
                data: (!data.is_empty()).then_some(data),
            },
        }
    }
}

/// An early answer, so that whoever makes a response from bytes can make this one.
impl<B> From<Bytes> for ResponseBody<B> {
    fn from(data: Bytes) -> Self {
        Self::early(data)
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Early { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Early { data } => data.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Early { data } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty, Full};

    use super::*;

    #[tokio::test]
    async fn an_early_answer_is_one_frame_of_known_size() {
        let mut body = ResponseBody::<Empty<Bytes>>::early("no");
        assert_eq!(body.size_hint().exact(), Some(2));
        assert!(!body.is_end_stream());
        let frame = body.frame().await.expect("one frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "no");
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_empty_early_answer_has_no_frame() {
        let mut body = ResponseBody::<Empty<Bytes>>::early(Bytes::new());
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn the_inner_body_passes_through() {
        let inner = Full::new(Bytes::from_static(b"hello"));
        let body = ResponseBody::inner(inner);
        assert_eq!(body.size_hint().exact(), Some(5));
        assert_eq!(
            body.collect().await.expect("infallible").to_bytes(),
            "hello"
        );
    }
}
