//! The pages in a real browser: sizes, colours, keys, no script, axe-core.
//!
//! Needs chromium and chromedriver; without them the tests say `SKIPPED: …` and pass; with `REQUIRE_BROWSER=1` they fail
//! instead. axe-core is looked for in Python's package axe-playwright-python (`REQUIRE_AXE=1`).
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod list;
mod looks;
mod map;
#[path = "../viewer/support.rs"]
#[allow(dead_code)] // what only the other tests use
mod support;
mod trace;

use serde_json::{Value, json};
use support::{Viewer, new_trace, span, with};

/// What blocks, in the middle of a visit with the browser.
fn aside<T>(act: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(act)
}

/// A batch of three rolls, of which one failed. `pace` is the duration of the rolls in milliseconds.
fn send_batch(viewer: &Viewer, pace: u64) -> String {
    let trace = new_trace();
    let id = trace.as_str();
    let kind = |span: Value, kind: u8| with(span, json!({"kind": kind}));
    let event = |mut roll: Value| {
        roll["events"] = json!([{"name": "roll completed", "timeUnixNano": roll["endTimeUnixNano"]}]);
        roll
    };
    let end = 20 + pace;
    viewer.send(
        "frontend",
        &[kind(span(id, 1, 0, "GET /roll-async", 0, end + 6), 2), kind(span(id, 2, 1, "GET", 2, end + 4), 3)],
    );
    viewer.send("die-service", &[kind(span(id, 5, 4, "GET /dice", 8, 12), 2)]);
    let failed = json!({"status": {"code": 2, "message": "Die 'risky' failed!"}});
    viewer.send(
        "dice-roller",
        &[
            kind(span(id, 3, 2, "GET /roll-async", 4, end + 2), 2),
            kind(span(id, 4, 3, "GET", 6, 14), 3),
            event(span(id, 6, 3, "async_roll_0", 16, 16 + pace / 2)),
            event(span(id, 7, 3, "async_roll_1", 16, 16 + pace)),
            with(span(id, 8, 3, "async_roll_2", 16, 16 + pace / 3), failed),
        ],
    );
    trace
}
