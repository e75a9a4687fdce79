use std::future::Future;

use tokio::task::JoinHandle;
use tracing::Instrument;

use super::Scope;

/// Spawns `future` on the current tokio runtime with the [current](super::Context::current)
/// context and tracing span, so that work done behind a request logs and calls as that request.
///
/// Dropping the handle does not stop the task.
///
/// # Panics
///
/// When called outside a tokio runtime.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(Scope::inherit(future).in_current_span())
}

#[cfg(test)]
mod tests {
    use crate::Context;

    #[tokio::test]
    async fn the_spawned_task_has_the_context_of_its_parent() {
        let context = Context::new("parent".parse().expect("a valid id"));
        let child = async { super::spawn(async { Context::current() }).await };
        let found = context.clone().scope(child).await;
        assert_eq!(found.expect("the task ends"), Some(context));
        let orphan = super::spawn(async { Context::current() });
        assert_eq!(orphan.await.expect("the task ends"), None);
    }
}
