use std::time::Duration;

use pm_core::Clock;

use crate::Error;

/// How often a store is asked what has changed.
const POLL: Duration = Duration::from_millis(250);

/// Keeps up with the store of this, four times a second, for ever. One line is logged when it begins to
/// fail, and one when it is back.
///
/// With the system clock it panics outside a tokio runtime with its timer on.
pub(crate) async fn follow<F: Future<Output = Result<(), Error>>>(
    clock: Clock,
    of: &'static str,
    synchronize: impl Fn() -> F,
) {
    let mut failing = false;
    loop {
        let result = synchronize().await;
        let was_failing = std::mem::replace(&mut failing, result.is_err());
        match result {
            Err(error) if !was_failing => {
                tracing::warn!(
                    ?error,
                    "the store of {of} fails, going on with what is known"
                );
            }
            Ok(()) if was_failing => tracing::info!("the store of {of} is back"),
            _ => {}
        }
        clock.sleep_until(clock.now() + POLL).await;
    }
}
