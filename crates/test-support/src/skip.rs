//! What may be missing on a machine: a browser, Prometheus, Docker. A test that needs it then prints `SKIPPED: reason`
//! and passes; where the variable `REQUIRE_…` is set, as in CI, it fails.

use std::io::Write as _;
use std::process::Command;

/// The value, or none after `SKIPPED: reason`.
///
/// # Panics
/// When there is no value and the variable `required_by` is set.
#[allow(clippy::disallowed_methods)] // a setting of the tests, not of a service
pub fn unless<T>(found: Result<T, String>, required_by: &str) -> Option<T> {
    let reason = match found {
        Ok(value) => return Some(value),
        Err(reason) => reason,
    };
    let required = std::env::var(required_by).is_ok_and(|value| !value.is_empty());
    assert!(!required, "{reason}, and {required_by} is set");
    // Not with `println!`, which `cargo test` shows only of a test that fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
    None
}

/// Whether this command succeeds, which shows that a tool is installed.
///
/// # Errors
/// That it is not, and how to install it.
pub fn runs(command: &mut Command, how_to_install: &str) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!("{} is not installed ({how_to_install})", command.get_program().display())),
    }
}

/// Whether Prometheus' program `tool` is there; otherwise the test is skipped, or fails with `REQUIRE_PROMETHEUS=1`.
pub fn has_prometheus(tool: &str) -> bool {
    let found = runs(Command::new(tool).arg("--version"), "Debian: apt-get install prometheus");
    unless(found, "REQUIRE_PROMETHEUS").is_some()
}
