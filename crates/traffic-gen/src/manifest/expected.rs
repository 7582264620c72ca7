//! Which spans a request must have left, worked out from the request and its response.
//!
//! A request that reached the die is a chain of seven spans, and a batch adds one span a roll:
//!
//! ```text
//! simulated_user_…  INTERNAL  generator
//! └ GET             CLIENT    generator    → frontend
//!   └ GET /roll     SERVER    frontend
//!     └ GET         CLIENT    frontend     → dice-roller
//!       └ GET /roll SERVER    dice-roller
//!         ├ GET     CLIENT    dice-roller  → die-service
//!         │ └ GET /dice  SERVER  die-service
//!         └ async_roll_0 …  INTERNAL  dice-roller
//! ```

use http::StatusCode;

use super::shape::{Shape, name};
use crate::generate::{Outcome, Response};

/// The chain as far as the generator alone knows it went, as far as a response proves, and all of it.
const OWN: usize = 2;
const RESPONDED: usize = 3;
const WHOLE: usize = 7;

/// Where the server span of dice-roller stands in the chain: the parent of the rolls.
const ROLLER: usize = 4;

/// The shape that `outcome` must have left, and whether that is all of it.
pub(super) fn expected(own_name: &str, outcome: &Outcome) -> (bool, Shape) {
    let times = outcome.request.times.unwrap_or(0);
    let (exact, length, rolls, errors) = match &outcome.response {
        Response::Rolled(_) => (true, WHOLE, times, 0),
        // Both client spans of callers that got a 4xx, the root, and dice-roller's client; server spans stay unset.
        Response::Refused { status: StatusCode::NOT_FOUND, .. } => (true, WHOLE, 0, 4),
        Response::Refused { status, detail } => match failed_rolls(*status, detail) {
            // Root, client, frontend's server and client, dice-roller's server; each failed roll of a batch.
            Some(failed) => (true, WHOLE, times, 5 + failed),
            // Refused on the way, by whom the response does not say.
            None => (false, RESPONDED, 0, 2),
        },
        Response::Missing { .. } => (false, OWN, 0, 1),
    };
    (exact, shape(own_name, times > 0, length, rolls, errors))
}

/// How many rolls of a batch failed by the die's error rate; 0 for a single roll, and none for any other failure.
/// dice-roller says `Die 'x' failed!`, or `Async roll batch failed: rolls 1, 4 of 7 failed (…)`.
fn failed_rolls(status: StatusCode, detail: &str) -> Option<u32> {
    if status != StatusCode::INTERNAL_SERVER_ERROR {
        return None;
    }
    if let Some(batch) = detail.strip_prefix("Async roll batch failed: roll") {
        let (indices, _) = batch.split_once(" of ")?;
        return u32::try_from(indices.split(',').count()).ok();
    }
    (detail.starts_with("Die '") && detail.ends_with("' failed!")).then_some(0)
}

fn shape(own_name: &str, batch: bool, length: usize, rolls: u32, errors: u32) -> Shape {
    let (root, route) = match batch {
        true => ("simulated_user_async_request", "GET /roll-async"),
        false => ("simulated_user_sync_request", "GET /roll"),
    };
    let chain: [String; WHOLE] = [
        name(own_name, root),
        name(own_name, "GET"),
        name("frontend", route),
        name("frontend", "GET"),
        name("dice-roller", route),
        name("dice-roller", "GET"),
        name("die-service", "GET /dice"),
    ];
    let mut shape = Shape { spans: length as u32 + rolls, errors, ..Shape::default() };
    for pair in chain[..length].windows(2) {
        shape.edge(&pair[0], &pair[1]);
    }
    for index in 0..rolls {
        shape.edge(&chain[ROLLER], &name("dice-roller", &format!("async_roll_{index}")));
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(detail: &str) -> Option<u32> {
        failed_rolls(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    #[test]
    fn failed_rolls_are_counted_from_what_dice_roller_says() {
        assert_eq!(failed("Die 'risky' failed!"), Some(0));
        let batch =
            |failed: &str| format!("Async roll batch failed: {failed} of 7 failed (die 'risky', counted from 0)");
        assert_eq!(failed(&batch("roll 3")), Some(1));
        assert_eq!(failed(&batch("rolls 0, 3, 11")), Some(3));
        assert_eq!(failed("something else"), None);
        assert_eq!(failed("Async roll batch failed: no idea"), None);
    }

    #[test]
    fn batch_has_seven_spans_and_one_a_roll() {
        let shape = shape("me", true, WHOLE, 3, 0);
        assert_eq!(shape.spans, 10);
        let edges: Vec<_> = shape.edges.iter().map(|(edge, count)| (&**edge, *count)).collect();
        assert_eq!(
            edges,
            [
                ("dice-roller GET /roll-async → dice-roller GET", 1),
                ("dice-roller GET /roll-async → dice-roller async_roll_0", 1),
                ("dice-roller GET /roll-async → dice-roller async_roll_1", 1),
                ("dice-roller GET /roll-async → dice-roller async_roll_2", 1),
                ("dice-roller GET → die-service GET /dice", 1),
                ("frontend GET /roll-async → frontend GET", 1),
                ("frontend GET → dice-roller GET /roll-async", 1),
                ("me GET → frontend GET /roll-async", 1),
                ("me simulated_user_async_request → me GET", 1),
            ]
        );
    }
}
