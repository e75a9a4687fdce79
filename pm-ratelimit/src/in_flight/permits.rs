use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::key::{DigestKey, Keys};
use crate::{By, PolicyName, Subject};

/// More shards than this gain nothing: the lock of one is held for a fraction of a microsecond.
const SHARDS: usize = 64;

/// So many at the same time, for each subject: a handle that is cheap to clone.
///
/// It counts in the memory of this process, and only those who have something: memory is bounded by
/// the [room](Self::with_room), about 50 bytes for each subject. Nobody waits: there is a permit, or
/// there is none.
#[derive(Clone)]
pub struct Concurrency(Arc<Shared>);

struct Shared {
    name: PolicyName,
    by: By,
    limit: u32,
    room: usize,
    keys: Keys,
    subjects: AtomicUsize,
    shards: [Mutex<HashMap<u128, u32>>; SHARDS],
}

/// Leave to have one more. Dropping the last clone gives it back.
#[derive(Clone)]
#[must_use = "it is given back when it is dropped"]
pub struct Permit {
    _held: Arc<Held>,
}

struct Held {
    shared: Arc<Shared>,
    key: u128,
}

/// There is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Full {
    /// The subject has as many as it may have.
    #[error("the subject has as many at the same time as it may have")]
    Limit,
    /// More different subjects have something than there is room for.
    #[error("too many subjects have something at the same time")]
    Room,
    /// Whose it would be is not known.
    #[error("it is not known whose it would be")]
    Unidentified,
}

impl Concurrency {
    /// `limit` at the same time for each of those that it is by. The name is for headers and
    /// problems. A limit of 0 lets nobody have anything.
    #[must_use]
    pub fn new(name: PolicyName, by: By, limit: u32) -> Self {
        Self::build(name, by, limit, 100_000)
    }

    /// The same for at most so many subjects that have something at the same time; others are
    /// refused then. It starts with none. Without it, 100,000.
    #[must_use]
    pub fn with_room(self, subjects: usize) -> Self {
        let Shared {
            name, by, limit, ..
        } = &*self.0;
        Self::build(name.clone(), by.clone(), *limit, subjects)
    }

    fn build(name: PolicyName, by: By, limit: u32, room: usize) -> Self {
        Self(Arc::new(Shared {
            name,
            by,
            limit,
            room,
            keys: Keys::new(DigestKey::random()),
            subjects: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
        }))
    }

    /// The name in headers and problems.
    #[must_use]
    pub fn name(&self) -> &PolicyName {
        &self.0.name
    }

    /// How many each may have at the same time.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.0.limit
    }

    /// How many different subjects have something now.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.0.subjects.load(Ordering::Relaxed)
    }

    /// One more for `subject`, if it may have one.
    ///
    /// # Errors
    ///
    /// If it may not, if there is no more room, or if it is not known who it is. Nothing is held
    /// then.
    pub fn try_acquire(&self, subject: &Subject<'_>) -> Result<Permit, Full> {
        let who = subject.who(&self.0.by).ok_or(Full::Unidentified)?;
        let key = self.0.keys.subject(&who);
        let mut subjects = self
            .0
            .shard(key)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match subjects.get_mut(&key) {
            Some(held) if *held >= self.0.limit => return Err(Full::Limit),
            Some(held) => *held += 1,
            None if self.0.limit == 0 => return Err(Full::Limit),
            None => {
                // Taken before it is compared, so that two shards cannot both take the last one.
                if self.0.subjects.fetch_add(1, Ordering::Relaxed) >= self.0.room {
                    self.0.subjects.fetch_sub(1, Ordering::Relaxed);
                    return Err(Full::Room);
                }
                subjects.insert(key, 1);
            }
        }
        Ok(Permit {
            _held: Arc::new(Held {
                shared: Arc::clone(&self.0),
                key,
            }),
        })
    }
}

impl Shared {
    fn shard(&self, key: u128) -> &Mutex<HashMap<u128, u32>> {
        &self.shards[(key >> 64) as usize % SHARDS]
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let shard = self.shared.shard(self.key);
        let mut subjects = shard.lock().unwrap_or_else(PoisonError::into_inner);
        match subjects.get_mut(&self.key) {
            Some(held) if *held > 1 => *held -= 1,
            _ => {
                subjects.remove(&self.key);
                self.shared.subjects.fetch_sub(1, Ordering::Relaxed);
                // What a flood has left behind is given back, too.
                if subjects.len() * 4 < subjects.capacity() {
                    subjects.shrink_to_fit();
                }
            }
        }
    }
}

impl fmt::Debug for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concurrency")
            .field("name", &self.0.name)
            .field("by", &self.0.by)
            .field("limit", &self.0.limit)
            .field("subjects", &self.subjects())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: PolicyName = PolicyName::from_static("sockets");

    #[test]
    fn room_is_bounded_and_comes_back() {
        let concurrency = Concurrency::new(NAME, By::Connection, 1).with_room(1_000);
        let acquire = |number| concurrency.try_acquire(&Subject::new().connection(number));
        let held: Vec<Permit> = (0..1_000)
            .map(|number| acquire(number).expect("room"))
            .collect();
        assert_eq!(acquire(1_000).expect_err("full"), Full::Room);
        assert_eq!(acquire(7).expect_err("one each"), Full::Limit);
        assert_eq!(
            concurrency
                .try_acquire(&Subject::user("ada"))
                .expect_err("no connection"),
            Full::Unidentified
        );
        drop(held);
        assert_eq!(concurrency.subjects(), 0);
        let capacity = |shard: &Mutex<HashMap<u128, u32>>| shard.lock().expect("sound").capacity();
        assert_eq!(concurrency.0.shards.iter().map(capacity).sum::<usize>(), 0);
        assert!(acquire(1_000).is_ok());
    }

    #[test]
    fn on_many_threads_nobody_has_too_many() {
        let concurrency = Concurrency::new(NAME, By::User, 3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000u32 {
                        let name = ["ada", "bob"][round as usize % 2];
                        let permit = concurrency.try_acquire(&Subject::user(name));
                        let counts: Vec<u32> = concurrency
                            .0
                            .shards
                            .iter()
                            .flat_map(|shard| {
                                let subjects = shard.lock().expect("sound");
                                subjects.values().copied().collect::<Vec<_>>()
                            })
                            .collect();
                        assert!(counts.iter().all(|count| *count <= 3), "{counts:?}");
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(concurrency.subjects(), 0);
    }

    proptest! {
        #[test]
        fn each_has_as_many_as_it_may(limit in 0u32..5, steps in proptest::collection::vec((0u64..4, any::<bool>()), 0..100)) {
            let concurrency = Concurrency::new(NAME, By::Connection, limit);
            let mut held: HashMap<u64, Vec<Permit>> = HashMap::new();
            for (number, acquires) in steps {
                let permits = held.entry(number).or_default();
                if acquires {
                    let permit = concurrency.try_acquire(&Subject::new().connection(number));
                    prop_assert_eq!(permit.is_ok(), (permits.len() as u32) < limit);
                    permits.extend(permit);
                } else {
                    permits.pop();
                }
            }
            prop_assert_eq!(concurrency.subjects(), held.values().filter(|held| !held.is_empty()).count());
        }
    }
}
