use std::fmt;
use std::net::IpAddr;

use pm_core::{Cidr, ClientIp, RequestId};

use crate::client_prefix::client_prefix;

/// One refusal, as it is recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    client: ClientIp,
    at_micros: i64,
    endpoint: Box<str>,
    request_id: Option<RequestId>,
}

impl Violation {
    /// A refusal of `client` at this time of day, in microseconds since 1970.
    #[must_use]
    pub fn new(client: impl Into<ClientIp>, at_micros: i64, endpoint: impl Into<Box<str>>) -> Self {
        Self {
            client: client.into(),
            at_micros,
            endpoint: endpoint.into(),
            request_id: None,
        }
    }

    /// The same, with the id of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<RequestId>) -> Self {
        self.request_id = id;
        self
    }

    /// The address that was refused.
    #[must_use]
    pub const fn addr(&self) -> IpAddr {
        self.client.addr()
    }

    /// All addresses of whoever was refused: what violations are counted by.
    #[must_use]
    pub fn prefix(&self) -> Cidr {
        client_prefix(self.client)
    }

    /// When, in microseconds since 1970 by the clock of the instance that refused.
    #[must_use]
    pub const fn at_micros(&self) -> i64 {
        self.at_micros
    }

    /// Method and path, such as `POST /login`, or the name of an operation.
    #[must_use]
    pub const fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The id of the request, if it had one.
    #[must_use]
    pub const fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

/// Without the address.
impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Violation")
            .field("at_micros", &self.at_micros)
            .field("endpoint", &self.endpoint)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}
