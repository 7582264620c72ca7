//! Checks a file of OTLP/JSON, such as the trace viewer's download: `check-file FILE`. Exits with 1 where something is
//! wrong with the trace, with 2 where there is none.

use std::path::Path;
use std::process::ExitCode;

use trace_check::Trace;

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("usage: check-file FILE");
        return ExitCode::from(2);
    };
    let trace = match Trace::from_file(Path::new(&file)) {
        Ok(trace) => trace,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&file).display());
            return ExitCode::from(2);
        }
    };
    let report = trace.check(|trace| {
        trace.span("*").begins_inside_parent();
        trace.whole().no_open_spans().one_root().errors_are_explained();
    });
    match report {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprint!("{report}");
            ExitCode::FAILURE
        }
    }
}
