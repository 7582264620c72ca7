//! The two settings.

use std::path::PathBuf;

use crate::parse::Faults;
use crate::switches::Switches;

/// Which faults are on, and what may switch them.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)] // its id would be that of another `Settings` that includes it
pub struct Settings {
    /// Faults that are on at start, such as `lost-context,slow-die=800`; `on` shows the page of switches, /faults, on loopback
    #[arg(long, env = "FAULTS")]
    pub faults: Option<Faults>,

    /// File that says which faults are on, in the same form; it is watched, and may be written while the service runs
    #[arg(long, env = "FAULTS_FILE")]
    pub faults_file: Option<PathBuf>,
}

impl Settings {
    /// The switches of `service`; none where neither setting is there.
    pub fn switches(&self, service: &'static str) -> Option<Switches> {
        if self.faults.is_none() && self.faults_file.is_none() {
            return None;
        }
        Some(Switches::new(service, self.faults.clone().unwrap_or_default(), self.faults_file.clone()))
    }
}
