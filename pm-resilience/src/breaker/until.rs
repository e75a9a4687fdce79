use std::borrow::Borrow;

use http::Response;
use http_body::Body;

use super::{Breaker, Permit};
use crate::Outcome;
use crate::classify::{Classify, ClassifyStream, Settle, Watched};

/// Until when a call lasts: until its [`Head`] is there, or its [`BodyEnd`]. Not to be implemented
/// elsewhere.
pub trait Until<C, T, E, B: Borrow<Breaker>>: sealed::Sealed {
    /// What the caller gets.
    type Response;

    /// The result is there: settles, or leaves that to the response. Returns what the result says as
    /// far as it is known.
    fn end(
        result: Result<T, E>,
        classify: &C,
        permit: Permit<B>,
    ) -> (Outcome, Result<Self::Response, E>);
}

/// A call lasts until its answer is there: of a response, the head.
#[derive(Clone, Copy, Debug)]
pub enum Head {}

/// A call lasts until the body of its response has ended, or has failed, by what a
/// [`ClassifyStream`] says of both. A head that says that it failed is the end, too.
///
/// The time of the call is that of its body, too, if slow calls are watched. A body that is dropped
/// before its end says nothing: whoever reads it may have had enough.
#[derive(Clone, Copy, Debug)]
pub enum BodyEnd {}

impl<C, T, E, B> Until<C, T, E, B> for Head
where
    C: Classify<T, E>,
    B: Borrow<Breaker>,
{
    type Response = T;

    #[inline]
    fn end(result: Result<T, E>, classify: &C, permit: Permit<B>) -> (Outcome, Result<T, E>) {
        let outcome = match was_left_too_little(result.as_ref(), classify, &permit) {
            true => Outcome::Ignored,
            false => classify.classify(result.as_ref()),
        };
        permit.settle(outcome);
        (outcome, result)
    }
}

impl<C, T, E, B> Until<C, Response<T>, E, B> for BodyEnd
where
    C: Classify<Response<T>, E> + ClassifyStream + Clone,
    T: Body,
    B: Borrow<Breaker>,
{
    type Response = Response<Watched<T, C, Permit<B>>>;

    fn end(
        result: Result<Response<T>, E>,
        classify: &C,
        mut permit: Permit<B>,
    ) -> (Outcome, Result<Self::Response, E>) {
        let too_late = was_left_too_little(result.as_ref(), classify, &permit);
        let outcome = match too_late {
            true => Outcome::Ignored,
            false => classify.classify(result.as_ref()),
        };
        let result = match result {
            Ok(response) if too_late => {
                permit.ignore();
                Ok(Watched::settled(response, classify.clone()))
            }
            Ok(response) => {
                permit.curtail();
                Ok(Watched::response(response, classify.clone(), permit))
            }
            Err(error) => {
                permit.settle(outcome);
                Err(error)
            }
        };
        (outcome, result)
    }
}

impl<B: Borrow<Breaker>> Settle for Permit<B> {
    fn settle(self, outcome: Outcome) {
        Self::settle(self, outcome);
    }
}

/// Whether what was called gave up because the caller left it less time than calls have.
#[inline]
fn was_left_too_little<T, E, C: Classify<T, E>, B: Borrow<Breaker>>(
    result: Result<&T, &E>,
    classify: &C,
    permit: &Permit<B>,
) -> bool {
    permit.is_curtailed() && classify.is_timeout(result)
}

mod sealed {
    #[allow(unreachable_pub, reason = "the sealed half of a public trait")]
    pub trait Sealed {}

    impl Sealed for super::Head {}
    impl Sealed for super::BodyEnd {}
}
