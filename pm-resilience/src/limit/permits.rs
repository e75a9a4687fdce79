use http::Request;

use super::{Limit, Permit};
use crate::{Rejection, Shed};

/// Gives requests permits of a limit: a [`Limit`] all requests alike, a [`Shed`] HTTP requests by the
/// [`Priority`](crate::Priority) in their extensions.
pub trait Permits<Req> {
    /// A permit for this request, if there is one. Nobody waits.
    ///
    /// # Errors
    ///
    /// If there is none.
    fn permit(&self, request: &Req) -> Result<Permit, Rejection>;
}

impl<Req> Permits<Req> for Limit {
    fn permit(&self, _: &Req) -> Result<Permit, Rejection> {
        self.try_acquire()
    }
}

impl<B> Permits<Request<B>> for Shed {
    fn permit(&self, request: &Request<B>) -> Result<Permit, Rejection> {
        self.try_acquire(request.extensions().get().copied().unwrap_or_default())
    }
}
