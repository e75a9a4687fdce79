//! Rules and quotas of users that are kept in a store: what is in force, when, and on which instance.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Clock, Identity, ManualTime};
use pm_ratelimit::guard::MemoryStore;
use pm_ratelimit::rule_book::{
    Assigned, Changes, Edit, EditError, Position, RuleBook, RuleStore, Told,
};
use pm_ratelimit::{By, Error, Limiter, PolicyName, Quota, Rule, Rules, Subject};
use pm_testing::{Log, drive};
use tokio::sync::Notify;

fn by_user(tokens: u32) -> Rule {
    Rule::always().by(By::User).quota(Quota::per_day(tokens))
}

fn configured() -> Rules {
    Rules::new().rule("user", by_user(10))
}

fn ada() -> Identity {
    Identity::new("ada")
}

fn book(store: &Arc<impl RuleStore>, rules: Rules) -> RuleBook {
    let (clock, _time) = Clock::manual();
    let limiter = Limiter::builder(rules).clock(clock);
    let book = RuleBook::builder(limiter).store(Arc::clone(store) as _);
    book.build().unwrap()
}

fn sync(book: &RuleBook) {
    drive(book.synchronize()).unwrap();
}

fn edit(book: &RuleBook, edits: impl IntoIterator<Item = Edit>) -> Result<u64, EditError> {
    drive(book.edit(edits))
}

/// How many more requests the user may make at once.
fn left(book: &RuleBook, user: &Identity) -> u32 {
    let verdict = drive(book.limiter().check(&Subject::identity(user), 0));
    match verdict {
        pm_ratelimit::Verdict::Allowed(allowed) => allowed.remaining(),
        other => panic!("{other:?}"),
    }
}

/// The field of the rule that is not valid.
fn invalid<T: std::fmt::Debug>(result: Result<T, EditError>) -> (String, &'static str) {
    match result {
        Err(EditError::Invalid(invalid)) => (invalid.rule().to_owned(), invalid.field()),
        other => panic!("{other:?}"),
    }
}

/// A store that can be down, be emptied, and be slow to answer.
#[derive(Debug, Default)]
struct Unreliable {
    store: Mutex<Arc<MemoryStore>>,
    down: AtomicBool,
    lookups: AtomicUsize,
    /// The next such call keeps its answer back until it is let go.
    held: Mutex<Option<(Call, Arc<Notify>)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Changes,
    Edit,
    Quota,
}

impl Unreliable {
    fn store(&self) -> Result<Arc<MemoryStore>, Error> {
        if self.down.load(Ordering::Relaxed) {
            return Err(Error::TimedOut);
        }
        Ok(Arc::clone(&self.store.lock().unwrap()))
    }

    fn fail(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    fn lookups(&self) -> usize {
        self.lookups.load(Ordering::Relaxed)
    }

    fn hold(&self, call: Call) -> Arc<Notify> {
        let held = Arc::<Notify>::default();
        *self.held.lock().unwrap() = Some((call, Arc::clone(&held)));
        held
    }

    async fn pass(&self, call: Call) {
        let held = self.held.lock().unwrap().take_if(|(held, _)| *held == call);
        if let Some((_, held)) = held {
            held.notified().await;
        }
    }
}

#[async_trait]
impl RuleStore for Unreliable {
    async fn edit(
        self: Arc<Self>,
        edits: Vec<(PolicyName, Option<Rule>)>,
        at: Position,
    ) -> Result<Option<u64>, Error> {
        let edited = self.store()?.edit(edits, at).await;
        self.pass(Call::Edit).await;
        edited
    }

    async fn assign(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        quota: Quota,
    ) -> Result<Position, Error> {
        self.store()?.assign(rule, user, quota).await
    }

    async fn withdraw(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
    ) -> Result<Option<Position>, Error> {
        self.store()?.withdraw(rule, user).await
    }

    async fn quota(self: Arc<Self>, rule: PolicyName, user: Identity) -> Result<Told, Error> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let told = self.store()?.quota(rule, user).await;
        self.pass(Call::Quota).await;
        told
    }

    async fn quotas(
        self: Arc<Self>,
        of: Option<Identity>,
        after: Option<(Identity, PolicyName)>,
        limit: usize,
    ) -> Result<Vec<Assigned>, Error> {
        self.store()?.quotas(of, after, limit).await
    }

    async fn changes(self: Arc<Self>, since: Position) -> Result<Changes, Error> {
        let changes = self.store()?.changes(since).await;
        self.pass(Call::Changes).await;
        changes
    }
}

#[test]
fn a_stored_rule_takes_the_place_of_a_configured_one_until_it_is_removed() {
    let book = book(&Arc::new(MemoryStore::new()), configured());
    let extra = Rule::on("bulk.*").quota(Quota::per_hour(5));
    let both = [
        Edit::put("user", by_user(20)),
        Edit::put("extra", extra.clone()),
    ];
    edit(&book, both).unwrap();
    let in_force = Rules::new().rule("user", by_user(20)).rule("extra", extra);
    assert_eq!(book.limiter().rules(), in_force);
    assert_eq!(left(&book, &ada()), 20);
    edit(&book, [Edit::remove("user"), Edit::remove("extra")]).unwrap();
    assert_eq!(book.limiter().rules(), configured());
    assert!(book.list(None, 10).is_empty());
}

#[test]
fn what_is_configured_anew_is_under_what_is_stored() {
    let book = book(&Arc::new(MemoryStore::new()), configured());
    edit(&book, [Edit::put("user", by_user(20))]).unwrap();
    let client = Rule::always().by(By::Client).quota(Quota::per_day(3));
    let other = Rules::new()
        .rule("user", by_user(1))
        .rule("client", client.clone());
    book.configure(other).unwrap();
    let in_force = Rules::new()
        .rule("user", by_user(20))
        .rule("client", client);
    assert_eq!(book.limiter().rules(), in_force);
    let refused = book.configure(Rules::new().rule("client", Rule::always()));
    assert_eq!(refused.unwrap_err().field(), "quota");
    assert_eq!(book.limiter().rules(), in_force);
    edit(&book, [Edit::remove("user")]).unwrap();
    assert_eq!(left(&book, &ada()), 1, "what was configured last");
}

#[test]
fn what_is_changed_on_one_instance_counts_on_the_others_when_they_look() {
    let store = Arc::new(MemoryStore::new());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    sync(&two);
    let version = edit(&one, [Edit::put("user", by_user(20))]).unwrap();
    drive(one.assign("user", &ada(), Quota::per_day(33))).unwrap();
    assert_eq!(
        (left(&one, &ada()), left(&one, &Identity::new("bob"))),
        (33, 20)
    );
    sync(&two);
    assert_eq!(
        (two.version(), two.get("user").unwrap().version),
        (version, version)
    );
    assert_eq!(
        (left(&two, &ada()), left(&two, &Identity::new("bob"))),
        (33, 20)
    );
    drive(two.withdraw("user", &ada())).unwrap();
    edit(&two, [Edit::remove("user")]).unwrap();
    assert_eq!(left(&two, &ada()), 10);
    sync(&one);
    assert_eq!(left(&one, &ada()), 10);
}

#[test]
fn what_somebody_else_has_changed_is_not_overwritten_unseen() {
    let store = Arc::new(MemoryStore::new());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    let seen = edit(&one, [Edit::put("a", by_user(1))]).unwrap();
    // What the other has not heard of is no conflict, if it was seen.
    let version = edit(&two, [Edit::put("a", by_user(2)).seen(seen)]).unwrap();
    let late = edit(
        &one,
        [Edit::put("b", by_user(9)), Edit::remove("a").seen(seen)],
    );
    assert!(
        matches!(&late, Err(EditError::Conflict { rule, version: by_now }) if &**rule == "a" && *by_now == version),
        "{late:?}"
    );
    assert!(one.get("b").is_none() && one.get("a").is_some());
    assert!(matches!(
        edit(&one, [Edit::put("a", by_user(3)).seen(0)]),
        Err(EditError::Conflict { .. })
    ));
    // Whoever did not hear that it went well may do it again.
    assert_eq!(
        edit(&one, [Edit::put("a", by_user(2)).seen(seen)]).unwrap(),
        version
    );
    edit(&one, [Edit::remove("a").seen(version)]).unwrap();
    edit(&one, [Edit::remove("a").seen(version)]).unwrap();
    edit(&one, [Edit::put("a", by_user(3)).seen(0)]).unwrap();
}

#[test]
fn whoever_has_a_smaller_burst_than_a_request_costs_by_now_may_still_make_one() {
    let book = book(&Arc::new(MemoryStore::new()), configured());
    drive(book.assign("user", &ada(), Quota::per_day(3))).unwrap();
    edit(&book, [Edit::put("user", by_user(10).cost(5))]).unwrap();
    let quota = drive(book.quota("user", &ada())).unwrap();
    assert_eq!(quota, Some(Quota::per_day(3)), "as it was assigned");
    let check = || drive(book.limiter().check(&Subject::identity(&ada()), 1));
    assert!(matches!(check(), pm_ratelimit::Verdict::Allowed(_)));
    // For the next one there is a time to wait.
    assert!(matches!(check(), pm_ratelimit::Verdict::Refused(_)));
    let never = drive(book.limiter().check(&Subject::identity(&ada()), 2));
    assert!(
        matches!(never, pm_ratelimit::Verdict::Never(_)),
        "{never:?}"
    );
}

#[test]
fn what_is_not_valid_is_refused_by_rule_and_field_and_nothing_is_written() {
    let store = Arc::new(MemoryStore::new());
    let book = book(&store, configured());
    edit(&book, [Edit::put("a", by_user(1))]).unwrap();
    let before = (book.version(), book.limiter().rules());
    let quota = Quota::per_day(5);
    for (name, rule, field) in [
        ("x", Rule::always(), "quota"),
        ("x", Rule::on("post /login").quota(quota), "on"),
        (
            "x",
            Rule::on(format!("/{}", "a".repeat(1_024))).quota(quota),
            "on",
        ),
        ("x", Rule::on("task\u{0}").quota(quota), "on"),
        (
            "x",
            Rule::always().by(By::Custom("a\nb".into())).quota(quota),
            "by",
        ),
        ("x", Rule::always().quota(quota).cost(6), "cost"),
        ("x", by_user(5).role("a\nb", 2), "roles"),
        ("x", by_user(5).role("a".repeat(65), 2), "roles"),
        (
            "x",
            by_user(5).roles((0..65).map(|number| (number.to_string(), 2))),
            "roles",
        ),
        ("", by_user(5), "name"),
        ("ü", by_user(5), "name"),
        ("b", by_user(5), "name"),
    ] {
        let edits = [Edit::put("b", by_user(2)), Edit::put(name, rule)];
        assert_eq!(invalid(edit(&book, edits)), (name.to_owned(), field));
    }
    let many = (0..1_001).map(|number| {
        let rule = Rule::on(format!("/{number}")).quota(quota);
        Edit::put(format!("{number:04}"), rule)
    });
    assert_eq!(invalid(edit(&book, many)).1, "name");
    assert_eq!((book.version(), book.limiter().rules()), before);

    let assign =
        |rule: &str, user: Identity, quota| invalid(drive(book.assign(rule, &user, quota))).1;
    assert_eq!(assign("b", ada(), quota), "name");
    assert_eq!(
        assign("a", Identity::new("x".repeat(256)), quota),
        "user_id"
    );
    assert_eq!(assign("a", Identity::new(""), quota), "user_id");
    assert_eq!(assign("a", ada().with_tenant("a\u{1}"), quota), "user_id");
    let costly = Rule::always().by(By::User).quota(quota).cost(3);
    let client = Rule::always().by(By::Client).quota(quota);
    edit(
        &book,
        [Edit::put("costly", costly), Edit::put("client", client)],
    )
    .unwrap();
    assert_eq!(assign("costly", ada(), Quota::per_day(2)), "quota");
    assert_eq!(assign("client", ada(), quota), "by");
    assert!(drive(book.quotas(None, None, 10)).unwrap().is_empty());
    // Nobody is asked about a user who cannot have one.
    assert_eq!(left(&book, &Identity::new("x".repeat(256))), 1);
    assert_eq!(book.stats().lookups, 0);
}

#[test]
fn there_is_room_for_a_thousand_rules() {
    let book = book(&Arc::new(MemoryStore::new()), configured());
    let put = |number: u32| {
        let rule = Rule::on(format!("/{number}")).quota(Quota::per_day(1));
        Edit::put(format!("{number:04}"), rule)
    };
    edit(&book, (0..1_000).map(put)).unwrap();
    assert_eq!(invalid(edit(&book, [put(1_000)])).1, "name");
    edit(&book, [put(1_000), Edit::remove("0007")]).unwrap();
    assert_eq!(
        invalid(edit(
            &book,
            (0..1_001).map(|number| Edit::remove(number.to_string()))
        ))
        .1,
        "name"
    );
    assert_eq!(book.list(None, usize::MAX).len(), 1_000);
}

#[test]
fn two_who_are_right_alone_are_not_both_right_together() {
    let store = Arc::new(MemoryStore::new());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    let six = (0..6).map(|number| Edit::put(format!("rule {number}"), by_user(5)));
    edit(&one, six).unwrap();
    sync(&two);
    edit(&one, [Edit::put("one", by_user(5))]).unwrap();
    // The eighth rule was there before this instance has heard of it.
    let (rule, field) = invalid(edit(&two, [Edit::put("two", by_user(5))]));
    assert_eq!(field, "stage", "{rule}");
    assert!(two.get("one").is_some() && two.get("two").is_none());
}

#[test]
fn what_is_not_valid_here_is_refused_whole_and_the_old_rules_stay() {
    let log = Log::capture(tracing::Level::WARN);
    let store = Arc::new(MemoryStore::new());
    let newer = book(&store, Rules::new());
    // With eight rules of its own it has no room for another one.
    let full = (0..8).fold(Rules::new(), |rules, number| {
        rules.rule(format!("rule {number}"), by_user(5))
    });
    let older = book(&store, full.clone());
    edit(&newer, [Edit::put("rule 0", by_user(7))]).unwrap();
    sync(&older);
    assert_eq!(left(&older, &ada()), 5);
    let before = older.limiter().rules();
    edit(
        &newer,
        [Edit::put("rule 0", by_user(8)), Edit::put("x", by_user(9))],
    )
    .unwrap();
    for _ in 0..3 {
        sync(&older);
    }
    assert_eq!(older.limiter().rules(), before);
    assert_eq!(older.refused().unwrap().field(), "stage");
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("the old ones stay"));
    // And can be mended from there.
    edit(&older, [Edit::remove("x")]).unwrap();
    assert_eq!(older.refused(), None);
    assert_ne!(older.limiter().rules(), before);
}

#[test]
fn a_user_is_looked_up_once_and_a_change_is_heard() {
    let store = Arc::new(Unreliable::default());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    for round in 1..=5 {
        drive(one.assign("user", &ada(), Quota::per_day(100 * round))).unwrap();
        sync(&two);
        for _ in 0..10 {
            assert_eq!(left(&two, &ada()), 100 * round);
            assert_eq!(left(&one, &ada()), 100 * round);
            assert_eq!(left(&two, &Identity::new("bob")), 10);
        }
    }
    assert_eq!((store.lookups(), two.stats().lookups), (2, 2));
    drive(one.withdraw("user", &ada())).unwrap();
    assert_eq!(drive(one.withdraw("user", &ada())).unwrap(), None);
    sync(&two);
    assert_eq!((left(&one, &ada()), left(&two, &ada())), (10, 10));
    assert_eq!(store.lookups(), 2);
}

/// An answer that was overtaken by the news of a change is used, and not remembered.
#[tokio::test]
async fn an_answer_from_before_a_change_is_not_remembered() {
    let store = Arc::new(Unreliable::default());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    two.synchronize().await.unwrap();
    let held = store.hold(Call::Quota);
    let slow = {
        let limiter = two.limiter();
        tokio::spawn(async move { limiter.check(&Subject::identity(&ada()), 0).await })
    };
    tokio::task::yield_now().await;
    one.assign("user", &ada(), Quota::per_day(100))
        .await
        .unwrap();
    two.synchronize().await.unwrap();
    held.notify_one();
    assert!(slow.await.unwrap().is_allowed());
    assert_eq!(left(&two, &ada()), 100);
}

/// What the store said before an edit does not undo it, not even for a moment.
#[tokio::test]
async fn an_edit_is_not_undone_by_older_news() {
    let store = Arc::new(Unreliable::default());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    two.edit([Edit::put("user", by_user(20))]).await.unwrap();
    let held = store.hold(Call::Changes);
    let slow = tokio::spawn({
        let one = one.clone();
        async move { one.synchronize().await }
    });
    tokio::task::yield_now().await;
    one.edit([Edit::put("user", by_user(30))]).await.unwrap();
    // The next question is asked, and kept waiting, too.
    let again = store.hold(Call::Changes);
    held.notify_one();
    tokio::task::yield_now().await;
    assert_eq!(left(&one, &ada()), 30);
    again.notify_one();
    slow.await.unwrap().unwrap();
    assert_eq!(left(&one, &ada()), 30);
}

/// Nor is what others have changed since by an edit whose answer was late.
#[tokio::test]
async fn a_late_answer_undoes_nothing() {
    let store = Arc::new(Unreliable::default());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    one.synchronize().await.unwrap();
    let held = store.hold(Call::Edit);
    let slow = tokio::spawn({
        let one = one.clone();
        async move { one.edit([Edit::put("user", by_user(20))]).await }
    });
    tokio::task::yield_now().await;
    let version = two.edit([Edit::put("user", by_user(30))]).await.unwrap();
    one.synchronize().await.unwrap();
    assert_eq!(left(&one, &ada()), 30);
    held.notify_one();
    assert!(slow.await.unwrap().unwrap() < version);
    assert_eq!((left(&one, &ada()), one.version()), (30, version));
}

#[tokio::test]
async fn a_quota_that_is_assigned_is_not_forgotten_for_an_older_answer() {
    let store = Arc::new(Unreliable::default());
    let book = book(&store, configured());
    book.synchronize().await.unwrap();
    let held = store.hold(Call::Quota);
    let slow = tokio::spawn({
        let limiter = book.limiter();
        async move { limiter.check(&Subject::identity(&ada()), 0).await }
    });
    tokio::task::yield_now().await;
    book.assign("user", &ada(), Quota::per_day(33))
        .await
        .unwrap();
    held.notify_one();
    assert!(slow.await.unwrap().is_allowed());
    assert_eq!((left(&book, &ada()), store.lookups()), (33, 1));
}

#[tokio::test]
async fn a_store_that_fails_changes_nothing_and_is_said_twice() {
    let log = Log::capture(tracing::Level::INFO);
    let store = Arc::new(Unreliable::default());
    let (clock, time) = Clock::manual();
    let builder = RuleBook::builder(Limiter::builder(configured()).clock(clock.clone()));
    let book = builder.store(store.clone()).build().unwrap();
    let running = tokio::spawn(book.clone().run());
    let pass = async |time: &ManualTime| {
        for _ in 0..20 {
            tokio::task::yield_now().await;
            time.advance(Duration::from_millis(250));
        }
        tokio::task::yield_now().await;
    };
    pass(&time).await;
    book.edit([Edit::put("user", by_user(20))]).await.unwrap();
    book.assign("user", &ada(), Quota::per_day(33))
        .await
        .unwrap();

    store.fail(true);
    pass(&time).await;
    assert!(book.behind().unwrap() >= Duration::from_secs(4));
    assert_eq!(left(&book, &ada()), 33);
    assert!(matches!(
        book.edit([Edit::remove("user")]).await,
        Err(EditError::Store(_))
    ));
    assert!(matches!(
        book.assign("user", &ada(), Quota::per_day(1)).await,
        Err(EditError::Store(_))
    ));
    // Nobody waits for a store that is known to be down.
    let before = store.lookups();
    for number in 0..100 {
        assert_eq!(left(&book, &Identity::new(format!("user {number}"))), 20);
    }
    assert_eq!(store.lookups(), before);
    assert_eq!(book.limiter().stats().lookups_failed, 100);

    store.fail(false);
    pass(&time).await;
    assert_eq!(left(&book, &Identity::new("user 7")), 20);
    assert_eq!(store.lookups(), before + 1);
    running.abort();
    let lines = log.lines();
    let of_store = lines
        .iter()
        .filter(|line| line.contains("the store of rules"));
    assert_eq!(of_store.count(), 2, "{lines:?}");
}

#[test]
fn a_store_that_has_lost_its_rules_is_given_them_back() {
    let store = Arc::new(Unreliable::default());
    let (one, two) = (book(&store, configured()), book(&store, configured()));
    edit(
        &one,
        [Edit::put("user", by_user(20)), Edit::put("b", by_user(30))],
    )
    .unwrap();
    drive(one.assign("b", &ada(), Quota::per_day(5))).unwrap();
    sync(&two);
    assert_eq!((left(&one, &ada()), left(&two, &ada())), (5, 5));
    *store.store.lock().unwrap() = Arc::default();
    sync(&one);
    sync(&two);
    let new = book(&store, configured());
    sync(&new);
    for book in [&one, &two, &new] {
        assert_eq!(book.list(None, 10), new.list(None, 10));
        assert_eq!(left(book, &ada()), 20, "quotas of users are lost");
    }
    assert_eq!(new.list(None, 10).len(), 2);
    // What was written since is not overwritten.
    *store.store.lock().unwrap() = Arc::default();
    edit(&book(&store, configured()), [Edit::put("c", by_user(40))]).unwrap();
    for book in [&one, &two] {
        sync(book);
        assert_eq!(book.list(None, 10)[0].name.as_str(), "c");
    }
}

#[test]
fn stored_rules_come_in_pages() {
    let book = book(&Arc::new(MemoryStore::new()), configured());
    let rule = |number| Rule::on(format!("/{number}")).quota(Quota::per_day(1));
    edit(
        &book,
        (0..25).map(|number| Edit::put(format!("{number:02}"), rule(number))),
    )
    .unwrap();
    let (mut after, mut seen) = (None::<String>, 0);
    loop {
        let page = book.list(after.as_deref(), 10);
        let Some(last) = page.last() else { break };
        after = Some(last.name.to_string());
        seen += page.len();
    }
    assert_eq!(seen, 25);
}
