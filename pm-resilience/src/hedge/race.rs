use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use pm_core::clock::Sleep;

use super::Hedge;
use crate::Classify;

pin_project! {
    /// One attempt, and then perhaps another beside it.
    pub(super) struct Race<F> {
        #[pin]
        first: Option<F>,
        #[pin]
        second: Option<F>,
        #[pin]
        timer: Option<Sleep>,
        stage: Stage,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begun,
    /// There may still be a second attempt.
    Alone,
    /// There was one, or will be none.
    Decided,
}

impl<F> Race<F> {
    pub(super) const fn new() -> Self {
        Self {
            first: None,
            second: None,
            timer: None,
            stage: Stage::Begun,
        }
    }
}

impl<F: Future<Output = Result<T, E>>, T, E> Race<F> {
    /// `make` is called for each attempt.
    pub(super) fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        hedge: &Hedge,
        classify: &impl Classify<T, E>,
        mut make: impl FnMut() -> F,
    ) -> Poll<Result<T, E>> {
        let mut this = self.project();
        if *this.stage == Stage::Begun {
            hedge.begin();
            this.first.set(Some(make()));
            *this.stage = Stage::Alone;
        }
        let alone = this.second.is_none();
        if let Some(result) = run(this.first.as_mut(), alone, cx, classify) {
            return Poll::Ready(result);
        }
        if *this.stage == Stage::Alone {
            if this.timer.is_none() {
                this.timer.set(Some(hedge.timer()));
            }
            let timer = this.timer.as_mut().as_pin_mut().expect("made above");
            if timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            *this.stage = Stage::Decided;
            this.timer.set(None);
            if hedge.may_begin() {
                this.second.set(Some(make()));
            }
        }
        let alone = this.first.is_none();
        match run(this.second.as_mut(), alone, cx, classify) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

/// The result of this attempt, if it has one that is the answer: one that has failed beside another
/// is out of the race.
fn run<F: Future<Output = Result<T, E>>, T, E>(
    mut attempt: Pin<&mut Option<F>>,
    alone: bool,
    cx: &mut Context<'_>,
    classify: &impl Classify<T, E>,
) -> Option<Result<T, E>> {
    let Poll::Ready(result) = attempt.as_mut().as_pin_mut()?.poll(cx) else {
        return None;
    };
    attempt.set(None);
    let lost = !alone && classify.classify(result.as_ref()).is_failure();
    (!lost).then_some(result)
}
