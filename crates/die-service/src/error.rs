//! Everything that can go wrong in a request, and the response that each gets.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use service::Problem;

/// Why a request was refused. A malformed parameter is refused before, by [`service::Query`].
#[derive(Debug)]
pub(crate) enum Error {
    /// There is no such die.
    Unknown { identifier: String, known: Vec<String> },
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let Error::Unknown { identifier, known } = self;
        let detail = format!("Die '{}' not found; there are: {}", identifier.escape_debug(), known.join(", "));
        Problem::new(StatusCode::NOT_FOUND, detail).into_response()
    }
}
