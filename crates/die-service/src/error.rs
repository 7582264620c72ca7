//! Everything that can go wrong in a request, and the answer that each gets.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use telemetry::Problem;

/// Why a request was refused.
#[derive(Debug)]
pub(crate) enum Error {
    /// A parameter is malformed.
    Parameter(Problem),
    /// There is no such die.
    Unknown { identifier: String, known: Vec<String> },
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Parameter(problem)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let problem = match self {
            Error::Parameter(problem) => problem,
            Error::Unknown { identifier, known } => Problem::new(
                StatusCode::NOT_FOUND,
                format!("Die '{}' not found; there are: {}", identifier.escape_debug(), known.join(", ")),
            ),
        };
        problem.into_response()
    }
}
