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

    /// What a result says, as far as it is known.
    fn outcome(result: Result<&T, &E>, classify: &C, permit: &Permit<B>) -> Outcome;

    /// The result is there, and says this: settles, or leaves that to the response.
    fn end(
        result: Result<T, E>,
        outcome: Outcome,
        classify: &C,
        permit: Permit<B>,
    ) -> Result<Self::Response, E>;

    /// A result that was settled already.
    fn settled(result: Result<T, E>, classify: &C) -> Result<Self::Response, E>;
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
    fn outcome(result: Result<&T, &E>, classify: &C, permit: &Permit<B>) -> Outcome {
        permit.outcome(result, classify)
    }

    #[inline]
    fn end(result: Result<T, E>, outcome: Outcome, _: &C, permit: Permit<B>) -> Result<T, E> {
        permit.settle(outcome);
        result
    }

    #[inline]
    fn settled(result: Result<T, E>, _: &C) -> Result<T, E> {
        result
    }
}

impl<C, T, E, B> Until<C, Response<T>, E, B> for BodyEnd
where
    C: Classify<Response<T>, E> + ClassifyStream + Clone,
    T: Body,
    B: Borrow<Breaker>,
{
    type Response = Response<Watched<T, C, Permit<B>>>;

    #[inline]
    fn outcome(result: Result<&Response<T>, &E>, classify: &C, permit: &Permit<B>) -> Outcome {
        permit.outcome(result, classify)
    }

    fn end(
        result: Result<Response<T>, E>,
        outcome: Outcome,
        classify: &C,
        mut permit: Permit<B>,
    ) -> Result<Self::Response, E> {
        match result {
            // Nothing behind this head says more.
            Ok(response) if permit.is_curtailed() && outcome == Outcome::Ignored => {
                permit.ignore();
                Ok(Watched::settled(response, classify.clone()))
            }
            Ok(response) => {
                permit.answered();
                Ok(Watched::response(response, classify.clone(), permit))
            }
            Err(error) => {
                permit.settle(outcome);
                Err(error)
            }
        }
    }

    fn settled(result: Result<Response<T>, E>, classify: &C) -> Result<Self::Response, E> {
        result.map(|response| Watched::settled(response, classify.clone()))
    }
}

impl<B: Borrow<Breaker>> Settle for Permit<B> {
    fn settle(self, outcome: Outcome) {
        Self::settle(self, outcome);
    }

    fn is_curtailed(&self) -> bool {
        Self::is_curtailed(self)
    }
}

mod sealed {
    #[allow(unreachable_pub, reason = "the sealed half of a public trait")]
    pub trait Sealed {}

    impl Sealed for super::Head {}
    impl Sealed for super::BodyEnd {}
}
