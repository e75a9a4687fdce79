/// Up to where somebody knows the changes of a store. The default knows none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which life of the store; never 0.
    pub epoch: u64,
    /// The version of the last change.
    pub version: u64,
}

impl Position {
    /// Up to which version it knows a store in this position: nothing of it, if that has lost what was
    /// known.
    pub(crate) fn known_of(self, store: Self) -> Option<u64> {
        (self.epoch == store.epoch && self.version <= store.version).then_some(self.version)
    }
}
