use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Outcome;

/// Tells what a response says whose body is still to come.
pub trait ClassifyStream {
    /// What the head says, if that is the last word: `None` if only the end of the body says
    /// whether it worked.
    fn classify_head<B>(&self, response: &Response<B>) -> Option<Outcome>;

    /// What a body says that has ended, with or without trailers. One that fails before its end is
    /// an [`Outcome::Failure`] and is not asked about.
    fn classify_end(&self, trailers: Option<&HeaderMap>) -> Outcome;

    /// Whether a body that has ended like this says that what was called gave up because its time was
    /// over: as [`Classify::is_timeout`](super::Classify::is_timeout) of a result. Never, if it is not
    /// said.
    fn is_timeout_end(&self, trailers: Option<&HeaderMap>) -> bool {
        let _ = trailers;
        false
    }
}

/// What waits for the outcome of a call, such as a permit. Implemented for functions
/// `FnOnce(Outcome)`.
///
/// Dropping it unsettled means that the call was cut off.
pub trait Settle {
    /// The call has ended like this.
    fn settle(self, outcome: Outcome);

    /// Whether the call was told to be quicker than calls have to be: then it says nothing that what was
    /// called gave up.
    fn is_curtailed(&self) -> bool {
        false
    }
}

impl<F: FnOnce(Outcome)> Settle for F {
    fn settle(self, outcome: Outcome) {
        self(outcome);
    }
}

pin_project! {
    /// The body of a response whose outcome is only known where it ends.
    ///
    /// It settles once: when the body has ended, or has failed, or at once if the head was the last
    /// word. A body that is dropped before its end drops what waits for it unsettled.
    #[derive(Debug)]
    pub struct Watched<B, C, S> {
        #[pin]
        body: B,
        classify: C,
        settle: Option<S>,
    }
}

impl<B: Body, C: ClassifyStream, S: Settle> Watched<B, C, S> {
    /// The response with a body that settles.
    pub fn response(response: Response<B>, classify: C, settle: S) -> Response<Self> {
        let head = classify.classify_head(&response);
        response.map(|body| {
            // A body that is at its end already may never be polled.
            let ended = || body.is_end_stream().then(|| classify.classify_end(None));
            let settle = match head.or_else(ended) {
                Some(outcome) => {
                    settle.settle(outcome);
                    None
                }
                None => Some(settle),
            };
            Self {
                body,
                classify,
                settle,
            }
        })
    }

    /// The response where nothing waits for its end.
    pub(crate) fn settled(response: Response<B>, classify: C) -> Response<Self> {
        response.map(|body| Self {
            body,
            classify,
            settle: None,
        })
    }
}

impl<B: Body, C: ClassifyStream, S: Settle> Body for Watched<B, C, S> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        let ended = match &frame {
            Some(Ok(frame)) => match frame.trailers_ref() {
                Some(trailers) => Some(Ok(Some(trailers))),
                // Whoever reads it stops here, and never sees that there is no further frame.
                None => this.body.is_end_stream().then_some(Ok(None)),
            },
            Some(Err(error)) => Some(Err(error)),
            None => Some(Ok(None)),
        };
        if let Some(ended) = ended
            && let Some(settle) = this.settle.take()
        {
            let gave_up =
                |trailers| settle.is_curtailed() && this.classify.is_timeout_end(trailers);
            let outcome = match ended {
                Ok(trailers) if gave_up(trailers) => Outcome::Ignored,
                Ok(trailers) => this.classify.classify_end(trailers),
                Err(_) => Outcome::Failure,
            };
            settle.settle(outcome);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, Full};
    use pm_testing::drive;

    use super::super::{Grpc, Http};
    use super::*;

    /// Frames, one by one; it does not say that it has ended.
    struct Frames(VecDeque<Result<Frame<Bytes>, &'static str>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn data() -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::data(Bytes::from_static(b"part")))
    }

    fn status(code: &'static str) -> Result<Frame<Bytes>, &'static str> {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().expect("a value"));
        Ok(Frame::trailers(trailers))
    }

    /// Reads at most so many frames and returns what was settled.
    fn read<B: Body + Unpin>(
        response: Response<B>,
        classify: impl ClassifyStream + Unpin,
        frames: usize,
    ) -> Vec<Outcome> {
        let outcomes = RefCell::new(Vec::new());
        let settle = |outcome| outcomes.borrow_mut().push(outcome);
        let mut body = Watched::response(response, classify, settle).into_body();
        for _ in 0..frames {
            if drive(body.frame()).is_none_or(|frame| frame.is_err()) {
                break;
            }
        }
        drop(body);
        outcomes.into_inner()
    }

    fn frames(
        frames: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>,
    ) -> Response<Frames> {
        Response::new(Frames(frames.into_iter().collect()))
    }

    #[test]
    fn a_body_that_fails_behind_a_good_head_is_a_failure() {
        let broken = frames([data(), Err("connection lost")]);
        assert_eq!(read(broken, Http::new(), 9), [Outcome::Failure]);
        let whole = frames([data(), data()]);
        assert_eq!(read(whole, Http::new(), 9), [Outcome::Success]);
    }

    #[test]
    fn a_body_that_is_dropped_unread_settles_nothing() {
        assert_eq!(read(frames([data(), data()]), Http::new(), 1), []);
    }

    #[test]
    fn a_bad_head_settles_at_once_and_only_once() {
        let mut response = frames([data(), Err("connection lost")]);
        *response.status_mut() = http::StatusCode::NOT_IMPLEMENTED;
        assert_eq!(read(response, Http::new(), 9), [Outcome::Failure]);
    }

    #[test]
    fn a_body_that_knows_its_end_settles_with_its_last_frame() {
        let one = Response::new(Full::new(Bytes::from_static(b"all")));
        assert_eq!(read(one, Http::new(), 1), [Outcome::Success]);
        let none = Response::new(Empty::<Bytes>::new());
        assert_eq!(read(none, Http::new(), 0), [Outcome::Success]);
    }

    #[test]
    fn grpc_is_told_by_the_trailers() {
        let failed = frames([data(), status("13")]);
        assert_eq!(read(failed, Grpc, 9), [Outcome::Failure]);
        let worked = frames([data(), status("0")]);
        assert_eq!(read(worked, Grpc, 9), [Outcome::Success]);
        assert_eq!(read(frames([data()]), Grpc, 9), [Outcome::Failure]);
    }
}
