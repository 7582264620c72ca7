//! The two programs are one, with another way to conclude.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use crate::{Conclusion, Recording, System};

/// Looks at the traces and metrics of the system on this machine, and writes who is to blame: one JSON object with
/// culprit, mechanism and evidence, as `dice mystery answer` takes them.
#[derive(Debug, Parser)]
struct Config {
    /// As given to the launcher
    #[arg(long, env = "PORT_OFFSET", default_value_t = 0)]
    port_offset: u16,
}

/// Records, concludes and writes.
pub fn run(conclude: fn(&Recording) -> Conclusion) -> ExitCode {
    match conclusion(&Config::parse(), conclude) {
        Ok(line) => {
            // A reader that has gone is no error.
            let _ = writeln!(std::io::stdout(), "{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn conclusion(config: &Config, conclude: fn(&Recording) -> Conclusion) -> anyhow::Result<String> {
    let system = System::local(config.port_offset)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let recording = runtime.block_on(system.record())?;
    Ok(serde_json::to_string(&conclude(&recording))?)
}
