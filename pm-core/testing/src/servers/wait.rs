use std::time::Duration;

/// Looks until there is something to be found.
///
/// Other processes have no clock that a test could move: here, and only here, tests wait for real
/// time to pass. They never wait longer than it takes.
///
/// # Panics
///
/// If there is nothing after `limit`; `what` is what was waited for.
#[track_caller]
#[allow(
    clippy::disallowed_methods,
    reason = "other processes live in real time, and this is where tests wait for them"
)]
pub(crate) fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
