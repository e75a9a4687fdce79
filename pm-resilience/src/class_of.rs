use http::{Method, Request};

use crate::Class;

/// Tells what kind of operation a request is. Implemented for a [`Class`], which every request has
/// then, and for functions `Fn(&Req) -> Class`.
pub trait ClassOf<Req> {
    /// The class of this request.
    fn class_of(&self, request: &Req) -> Class;
}

impl<Req> ClassOf<Req> for Class {
    fn class_of(&self, _: &Req) -> Class {
        *self
    }
}

impl<Req, F: Fn(&Req) -> Class> ClassOf<Req> for F {
    fn class_of(&self, request: &Req) -> Class {
        self(request)
    }
}

/// The class of an HTTP request: the [`Class`] in its extensions, else a read if its method is safe
/// (RFC 9110 §9.2.1), else a write.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByMethod;

impl<B> ClassOf<Request<B>> for ByMethod {
    fn class_of(&self, request: &Request<B>) -> Class {
        match (request.extensions().get(), request.method()) {
            (Some(class), _) => *class,
            (None, &Method::GET | &Method::HEAD | &Method::OPTIONS | &Method::TRACE) => Class::Read,
            (None, _) => Class::Write,
        }
    }
}
