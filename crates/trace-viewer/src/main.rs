//! The viewer as a program of its own: read the settings, run, report.

use std::process::ExitCode;

fn main() -> ExitCode {
    let config = match trace_viewer::config::read() {
        Ok(config) => config,
        Err(status) => return status,
    };
    match trace_viewer::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
