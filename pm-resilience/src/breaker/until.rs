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
        ending: Ending<B>,
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

/// The permit of a call whose result is there, and who else hears how it ended: once, with the breaker.
#[derive(Debug)]
pub struct Ending<B: Borrow<Breaker> = Breaker> {
    permit: Permit<B>,
    tell: fn(&B, Outcome),
}

impl<B: Borrow<Breaker>> Ending<B> {
    #[inline]
    pub(crate) const fn new(permit: Permit<B>, tell: fn(&B, Outcome)) -> Self {
        Self { permit, tell }
    }
}

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
    fn end(result: Result<T, E>, outcome: Outcome, _: &C, ending: Ending<B>) -> Result<T, E> {
        ending.settle(outcome);
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
    type Response = Response<Watched<T, C, Ending<B>>>;

    #[inline]
    fn outcome(result: Result<&Response<T>, &E>, classify: &C, permit: &Permit<B>) -> Outcome {
        permit.outcome(result, classify)
    }

    fn end(
        result: Result<Response<T>, E>,
        outcome: Outcome,
        classify: &C,
        mut ending: Ending<B>,
    ) -> Result<Self::Response, E> {
        match result {
            // Nothing behind this head says more.
            Ok(response) if ending.is_curtailed() && outcome == Outcome::Ignored => {
                ending.settle(outcome);
                Ok(Watched::settled(response, classify.clone()))
            }
            Ok(response) => {
                ending.permit.answered();
                Ok(Watched::response(response, classify.clone(), ending))
            }
            Err(error) => {
                ending.settle(outcome);
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

impl<B: Borrow<Breaker>> Settle for Ending<B> {
    #[inline]
    fn settle(self, outcome: Outcome) {
        (self.tell)(self.permit.held(), outcome);
        self.permit.settle(outcome);
    }

    fn is_curtailed(&self) -> bool {
        self.permit.is_curtailed()
    }
}

mod sealed {
    #[allow(unreachable_pub, reason = "the sealed half of a public trait")]
    pub trait Sealed {}

    impl Sealed for super::Head {}
    impl Sealed for super::BodyEnd {}
}
