//! A decision on buckets in several slots of a cluster: a script for each, and where one refuses,
//! another to give back what the others took.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use pm_core::redis::Error;
use tokio::task::JoinHandle;

use super::answer::Answer;
use super::group::Group;
use super::{RedisStore, failed};

/// What is known of each group.
type Answers = Vec<Option<Answer>>;

/// What the groups answer, within the deadline of the store's handle.
///
/// Taking and giving back are tasks of their own: whoever asked may go away in between, and nobody
/// would give back. The scripts that give back have a deadline of their own, because one that is cut
/// short looks like a server that does not answer.
pub(super) async fn decide(
    store: Arc<RedisStore>,
    groups: Arc<[Group]>,
) -> Result<Answers, crate::Error> {
    let clock = store.redis.clock().clone();
    let end = clock.now() + store.redis.deadline();
    let taking = pm_core::context::spawn(take(store, groups));
    let (mut answers, giving_back) = taking
        .await
        .map_err(crate::Error::unavailable)?
        .map_err(failed)?;
    if let Some(giving_back) = giving_back {
        let left = end.saturating_duration_since(clock.now());
        if let Ok(Ok(corrected)) = clock.within(left, giving_back).await {
            answers = corrected;
        }
    }
    Ok(answers)
}

/// Asks all groups at once. If one refuses, the others are being given back what they took when this
/// returns.
async fn take(
    store: Arc<RedisStore>,
    groups: Arc<[Group]>,
) -> Result<(Answers, Option<JoinHandle<Answers>>), Error> {
    let answers = join_all(groups.iter().map(|group| group.decide(&store))).await;
    if answers.iter().flatten().all(|answer| answer.admitted) {
        let answers: Result<_, _> = answers.into_iter().map(|answer| answer.map(Some)).collect();
        return Ok((answers?, None));
    }
    // Refused, whatever the others would have said. They may have taken or not, and what was not
    // taken must not be given back.
    let answers: Answers = answers.into_iter().map(Result::ok).collect();
    let taken = |(group, answer): (&Group, &Option<Answer>)| {
        answer
            .as_ref()
            .is_some_and(|answer| group.has_taken(answer))
    };
    let giving_back = groups.iter().zip(&answers).any(taken).then(|| {
        let (groups, answers) = (Arc::clone(&groups), answers.clone());
        pm_core::context::spawn(give_back(store, groups, answers))
    });
    Ok((answers, giving_back))
}

/// Gives back what was taken, and returns the answers with what is left then.
async fn give_back(store: Arc<RedisStore>, groups: Arc<[Group]>, mut answers: Answers) -> Answers {
    let store = &*store;
    let given_back = groups
        .iter()
        .zip(&mut answers)
        .map(|(group, answer)| async move {
            let Some(answer) = answer.as_mut().filter(|answer| group.has_taken(answer)) else {
                return;
            };
            if let Err(error) = group.give_back(store, answer).await {
                store.forfeited.fetch_add(1, Ordering::Relaxed);
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "what a refused decision took may stay taken");
            }
        });
    join_all(given_back).await;
    answers
}
