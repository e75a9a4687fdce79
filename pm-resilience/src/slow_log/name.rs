use http::Request;

/// The name of an operation in the log. In a request's extensions: what the log calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OperationName(pub &'static str);

/// Tells the name of the operation that a request is. Implemented for an [`OperationName`], which
/// every request has then, and for functions `Fn(&Req) -> OperationName`.
pub trait OperationOf<Req> {
    /// The name of this request.
    fn operation_of(&self, request: &Req) -> OperationName;
}

impl<Req> OperationOf<Req> for OperationName {
    fn operation_of(&self, _: &Req) -> OperationName {
        *self
    }
}

impl<Req, F: Fn(&Req) -> OperationName> OperationOf<Req> for F {
    fn operation_of(&self, request: &Req) -> OperationName {
        self(request)
    }
}

/// The operation of an HTTP request: the [`OperationName`] in its extensions, else `http`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByExtension;

impl<B> OperationOf<Request<B>> for ByExtension {
    fn operation_of(&self, request: &Request<B>) -> OperationName {
        let named = request.extensions().get();
        named.copied().unwrap_or(OperationName("http"))
    }
}
