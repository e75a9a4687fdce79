use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// How large the body of a request may be to be kept for a retry, in bytes.
pub const BUFFERED_AT_MOST: usize = 64 * 1024;

/// How long the body of a request may take to come, to be kept for a retry by a
/// [`RetryLayer`](super::RetryLayer).
pub const BUFFERED_WITHIN: Duration = Duration::from_secs(5);

/// A whole body that was kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

pin_project! {
    /// The body of a request as the inner service gets it: kept for retries, or as it comes.
    pub struct ReplayBody<B: Body> {
        #[pin]
        kind: Kind<B, B::Error>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B, E> {
        Kept {
            data: Option<Bytes>,
            trailers: Option<HeaderMap>,
        },
        // What was read already, how that ended, and what is still to come.
        Passing {
            begun: Option<Bytes>,
            error: Option<E>,
            #[pin]
            rest: B,
        },
    }
}

impl<B: Body<Data = Bytes>> ReplayBody<B> {
    pub(super) fn kept(kept: &Kept) -> Self {
        let data = Some(kept.data.clone()).filter(|data| !data.is_empty());
        let trailers = kept.trailers.clone();
        Self {
            kind: Kind::Kept { data, trailers },
        }
    }

    pub(super) const fn passing(rest: B) -> Self {
        Self {
            kind: Kind::Passing {
                begun: None,
                error: None,
                rest,
            },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Kept { data, trailers } => {
                let data = data.take().map(Frame::data);
                let frame = data.or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            KindProj::Passing { begun, error, rest } => {
                if let Some(data) = begun.take() {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                if let Some(error) = error.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                rest.poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Kept { data, trailers } => data.is_none() && trailers.is_none(),
            Kind::Passing { begun, error, rest } => {
                begun.is_none() && error.is_none() && rest.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Kept { data, .. } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
            Kind::Passing { begun, rest, .. } => {
                let begun = begun.as_ref().map_or(0, |data| data.len() as u64);
                let rest = rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(begun));
                if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(begun)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

impl<B: Body> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Kept { .. } => "ReplayBody(kept)",
            Kind::Passing { .. } => "ReplayBody(passing)",
        })
    }
}

/// Reads a body that says it is small enough to be kept.
pub(super) struct Keeping<B> {
    // Only empty when it is done.
    body: Option<B>,
    read: Vec<Bytes>,
    size: usize,
}

impl<B: Body<Data = Bytes> + Unpin> Keeping<B> {
    /// `Err` gives a body back that is, or may be, too large.
    pub(super) fn new(body: B) -> Result<Self, B> {
        let small = |upper| upper <= BUFFERED_AT_MOST as u64;
        if !body.size_hint().upper().is_some_and(small) {
            return Err(body);
        }
        Ok(Self {
            body: Some(body),
            read: Vec::new(),
            size: 0,
        })
    }

    /// The whole body; or what can be sent once if it is not what it said, or fails.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Kept, ReplayBody<B>>> {
        let error = loop {
            let body = self.body.as_mut().expect("not done");
            match ready!(Pin::new(body).poll_frame(cx)) {
                None => return Poll::Ready(Ok(self.kept(None))),
                Some(Err(error)) => break Some(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        // Pieces of nothing would be kept without bound.
                        if data.is_empty() {
                            continue;
                        }
                        self.size += data.len();
                        self.read.push(data);
                        if self.size > BUFFERED_AT_MOST {
                            break None;
                        }
                    }
                    // Nothing comes behind trailers.
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            return Poll::Ready(Ok(self.kept(Some(trailers))));
                        }
                    }
                },
            }
        };
        Poll::Ready(Err(self.pass_on(error)))
    }

    fn kept(&mut self, trailers: Option<HeaderMap>) -> Kept {
        let data = join(&mut self.read, self.size);
        Kept { data, trailers }
    }

    /// What can be sent once: what was read, how that ended if it has, and what is still to come.
    pub(super) fn pass_on(&mut self, error: Option<B::Error>) -> ReplayBody<B> {
        let rest = self.body.take().expect("not done");
        let begun = join(&mut self.read, self.size);
        ReplayBody {
            kind: Kind::Passing {
                begun: Some(begun).filter(|begun| !begun.is_empty()),
                error,
                rest,
            },
        }
    }
}

/// One piece, without a copy if it is one already.
fn join(read: &mut Vec<Bytes>, size: usize) -> Bytes {
    if read.len() == 1 {
        return read.swap_remove(0);
    }
    let mut whole = BytesMut::with_capacity(size);
    for piece in read.drain(..) {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use super::*;

    /// Pieces of nothing, so many of them, and then nothing for ever.
    struct Nothings(u32);

    impl Body for Nothings {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
                }
                None => Poll::Pending,
            }
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(4)
        }
    }

    #[test]
    fn pieces_of_nothing_are_not_kept() {
        let mut keeping = Keeping::new(Nothings(1_000)).ok().expect("small enough");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(keeping.poll(&mut cx).is_pending());
        assert_eq!(keeping.read.capacity(), 0);
    }
}
