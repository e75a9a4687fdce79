//! The only lines that know axum.

use http::Extensions;

/// The route that axum has chosen, as it was written.
#[cfg(feature = "axum")]
pub(crate) fn route(extensions: &Extensions) -> Option<&str> {
    extensions
        .get::<axum::extract::MatchedPath>()
        .map(axum::extract::MatchedPath::as_str)
}

#[cfg(not(feature = "axum"))]
pub(crate) const fn route(_: &Extensions) -> Option<&str> {
    None
}
