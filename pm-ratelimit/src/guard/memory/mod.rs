mod blocks;
mod emergency;
mod rules;
mod violations;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Mutex;

use self::blocks::Blocks;
use self::rules::Rules;
use self::violations::Kept;
use super::Position;
use crate::emergency::Word;

/// Violations, blocks, rules and emergencies in the memory of this process: for one instance, or for
/// several in a test.
///
/// What clients cause is bounded: the latest 100,000 violations of the last hour are kept, some 15 MB,
/// and the violations of 16,384 addresses are counted at the same time; those with the fewest give way.
/// It grows with the quotas that are assigned to users.
pub struct MemoryStore {
    violations: Mutex<Kept>,
    blocks: Mutex<Blocks>,
    rules: Mutex<Rules>,
    /// The last one about emergencies.
    word: Mutex<Option<Word>>,
}

impl MemoryStore {
    /// Nobody was refused, nobody is blocked, and there are no rules.
    #[must_use]
    pub fn new() -> Self {
        Self {
            violations: Mutex::default(),
            blocks: Mutex::new(Blocks::new()),
            rules: Mutex::new(Rules::new()),
            word: Mutex::default(),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// The beginning of a life of its own.
fn new_position() -> Position {
    Position {
        epoch: RandomState::new().hash_one(()) | 1,
        version: 0,
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
