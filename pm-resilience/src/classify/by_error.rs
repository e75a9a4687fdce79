use std::fmt;

use super::{Classify, Outcome};

/// What [`errors`] returns: every `Ok` is a success, and an error says what a function makes of it.
#[derive(Clone, Copy)]
pub struct ByError<F>(F);

/// Every `Ok` is a success, and an error is what `outcome` says: for answers of every type.
///
/// ```
/// use pm_resilience::{Classify, Outcome, classify};
///
/// # #[derive(Debug)]
/// enum UserError {
///     NotThere,
///     Lost,
/// }
///
/// // That somebody is not there is an answer of something that works.
/// let by_error = classify::errors(|error: &UserError| match error {
///     UserError::NotThere => Outcome::Success,
///     UserError::Lost => Outcome::retryable(),
/// });
/// let nobody: Result<&u8, _> = Err(&UserError::NotThere);
/// assert_eq!(by_error.classify(nobody), Outcome::Success);
/// let lost: Result<&String, _> = Err(&UserError::Lost);
/// assert!(by_error.classify(lost).is_failure());
/// ```
pub const fn errors<E, F: Fn(&E) -> Outcome>(outcome: F) -> ByError<F> {
    ByError(outcome)
}

impl<T, E, F: Fn(&E) -> Outcome> Classify<T, E> for ByError<F> {
    fn classify(&self, result: Result<&T, &E>) -> Outcome {
        result.map_or_else(&self.0, |_| Outcome::Success)
    }
}

impl<F> fmt::Debug for ByError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByError").finish_non_exhaustive()
    }
}
