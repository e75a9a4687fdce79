use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Identity, Tick};

use super::remembered::{Remembered, UserAndRule};
use super::{Lookup, UserQuotas};
use crate::{Error, PolicyName, Quota, User};

/// How long a source that failed is not asked again about the same user.
const PAUSE: Duration = Duration::from_secs(1);

/// Remembers what another [`UserQuotas`] says, about a bounded number of users, for a while.
///
/// Whoever is known is answered without waiting. When the time is over the source is asked again; if
/// it fails, what was known goes on counting, and for one second it is not asked about the same
/// user: a source that is down costs its deadline once in a while, not on every request. Of whom nothing
/// was known, nothing is assumed: meanwhile to ask is an error at once. When there is no more room somebody is forgotten, and asked about again.
#[derive(Debug)]
pub struct CachedUserQuotas {
    source: Arc<dyn UserQuotas>,
    time_to_live: Duration,
    known: Remembered<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// [`Lookup::Unknown`] if the source failed before it had ever answered.
    answer: Lookup,
    until: Tick,
}

impl CachedUserQuotas {
    /// Remembers `source` about at most `users` users and rules, each for `time_to_live`: that is
    /// how long a change takes to be noticed. About 100 bytes for each.
    #[must_use]
    pub fn new(source: Arc<dyn UserQuotas>, users: usize, time_to_live: Duration) -> Self {
        Self {
            source,
            time_to_live,
            known: Remembered::new(users),
        }
    }

    fn remember(&self, key: UserAndRule, entry: Entry, now: Tick) {
        let is_over = |entry: &Entry| entry.until <= now;
        self.known.change(key, |_| Some(entry), is_over);
    }
}

#[async_trait]
impl UserQuotas for CachedUserQuotas {
    fn try_quota(&self, rule: &PolicyName, user: User<'_>, now: Tick) -> Lookup {
        let key = self.known.key(rule, user);
        let known = self.known.get(key);
        if let Some(entry) = known
            && entry.until > now
        {
            return entry.answer;
        }
        match self.source.try_quota(rule, user, now) {
            // Remembered when it has been waited for.
            Lookup::Unknown => Lookup::Unknown,
            answer => answer,
        }
    }

    async fn quota(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        now: Tick,
    ) -> Result<Option<Quota>, Error> {
        let key = self.known.key(&rule, User::from(&user));
        let known = self.known.get(key);
        if known.is_some_and(|entry| entry.answer == Lookup::Unknown && entry.until > now) {
            return Err(Error::unavailable(Resting));
        }
        match Arc::clone(&self.source).quota(rule, user, now).await {
            Ok(quota) => {
                let until = now + self.time_to_live;
                let answer = quota.into();
                self.remember(key, Entry { answer, until }, now);
                Ok(quota)
            }
            Err(error) => {
                let known = self.known.get(key);
                let answer = known.map_or(Lookup::Unknown, |entry| entry.answer);
                let until = now + PAUSE;
                self.remember(key, Entry { answer, until }, now);
                match answer {
                    Lookup::Own(quota) => Ok(Some(quota)),
                    Lookup::Rule => Ok(None),
                    Lookup::Unknown => Err(error),
                }
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the source of quotas has just failed and is left alone")]
struct Resting;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    const RULE: PolicyName = PolicyName::from_static("user");

    /// Has one quota for everybody, and counts how often it is asked.
    #[derive(Debug, Default)]
    struct Source {
        asked: AtomicUsize,
        down: AtomicBool,
    }

    #[async_trait]
    impl UserQuotas for Source {
        fn try_quota(&self, _: &PolicyName, _: User<'_>, _: Tick) -> Lookup {
            Lookup::Unknown
        }

        async fn quota(
            self: Arc<Self>,
            _: PolicyName,
            _: Identity,
            _: Tick,
        ) -> Result<Option<Quota>, Error> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.down.load(Ordering::Relaxed) {
                return Err(Error::TimedOut);
            }
            Ok(Some(Quota::per_minute(7)))
        }
    }

    async fn ask(cached: &Arc<CachedUserQuotas>, name: &str, seconds: u64) -> Lookup {
        let user = Identity::new(name);
        let now = Tick::ZERO + Duration::from_secs(seconds);
        match cached.try_quota(&RULE, User::from(&user), now) {
            Lookup::Unknown => (Arc::clone(cached).quota(RULE, user, now).await)
                .map_or(Lookup::Unknown, Lookup::from),
            known => known,
        }
    }

    #[tokio::test]
    async fn the_source_is_asked_once_in_a_while() {
        let source = Arc::new(Source::default());
        let cached = CachedUserQuotas::new(source.clone(), 100, Duration::from_secs(60));
        let cached = Arc::new(cached);
        for second in 0..120 {
            let answer = ask(&cached, "ada", second).await;
            assert_eq!(answer, Lookup::Own(Quota::per_minute(7)));
        }
        assert_eq!(source.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_source_that_is_down_is_left_alone_and_what_was_known_counts() {
        let source = Arc::new(Source::default());
        let cached = CachedUserQuotas::new(source.clone(), 100, Duration::from_secs(60));
        let cached = Arc::new(cached);
        ask(&cached, "ada", 0).await;
        source.down.store(true, Ordering::Relaxed);
        for _ in 0..10 {
            assert_eq!(
                ask(&cached, "ada", 100).await,
                Lookup::Own(Quota::per_minute(7))
            );
        }
        assert_eq!(ask(&cached, "bob", 100).await, Lookup::Unknown);
        for _ in 0..10 {
            assert_eq!(ask(&cached, "bob", 100).await, Lookup::Unknown);
        }
        assert_eq!(source.asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn it_remembers_no_more_than_it_has_room_for() {
        let source = Arc::new(Source::default());
        let cached = CachedUserQuotas::new(source, 100, Duration::from_secs(60));
        let cached = Arc::new(cached);
        for number in 0..10_000 {
            ask(&cached, &format!("user {number}"), 0).await;
        }
        let remembered = cached.known.len();
        assert!(remembered <= 104, "{remembered} of 100");
    }
}
