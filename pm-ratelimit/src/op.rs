use http::Method;

use crate::rules::Path;
use crate::{MalformedPath, Stage};

/// What somebody wants to do, and what it costs.
///
/// ```
/// use pm_ratelimit::Op;
///
/// let frame = Op::new("task.update").cost(2);
/// let anything = Op::from(1);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Op<'a> {
    pub(crate) target: Target<'a>,
    pub(crate) cost: u32,
    pub(crate) stage: Stage,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Anything,
    Operation(&'a str),
    Request { method: &'a Method, path: &'a str },
}

impl<'a> Op<'a> {
    /// The operation of this name, at a cost of 1, behind authentication. The name comes from the
    /// program: it is compared with what [rules](crate::Rule::on) say, byte by byte.
    #[inline]
    pub const fn new(name: &'a str) -> Self {
        Self::to(Target::Operation(name))
    }

    /// A request with this method for this path, or for this route in axum's syntax, at a cost of 1,
    /// behind authentication.
    ///
    /// # Errors
    ///
    /// If the path has no normal form. The layer answers such a request with 400.
    pub fn request(method: &'a Method, path: &'a str) -> Result<Self, MalformedPath> {
        Path::parse(path)?;
        Ok(Self::to(Target::Request { method, path }))
    }

    /// The same, this many times as expensive. 0 looks at what is there, and takes nothing.
    #[inline]
    pub const fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// The same in another stage: which rules are asked.
    #[inline]
    pub const fn stage(mut self, stage: Stage) -> Self {
        self.stage = stage;
        self
    }

    #[inline]
    pub(crate) const fn to(target: Target<'a>) -> Self {
        Self {
            target,
            cost: 1,
            stage: Stage::Identified,
        }
    }
}

/// Something of this cost that no rule is about by name.
impl From<u32> for Op<'_> {
    #[inline]
    fn from(cost: u32) -> Self {
        Self::to(Target::Anything).cost(cost)
    }
}
