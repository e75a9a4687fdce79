use crate::Error;

/// The store has answered, with something that this version of the crate cannot read.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be read: another program or version of this crate has written it")]
pub(crate) struct Unreadable(pub(super) &'static str);

impl Unreadable {
    pub(crate) fn is(error: &Error) -> bool {
        matches!(error, Error::Unavailable(source) if source.is::<Self>())
    }
}
