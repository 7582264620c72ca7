//! The settings of die-service. Each is a flag and an environment variable; the comments are its `--help`.

use std::path::PathBuf;

use service::settings::{Settings, within};

/// Which dice exist: `GET /dice`, `GET /dice?identifier=fair`.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "die-service", version)]
pub struct Config {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 8106, value_parser = within(0..=u16::MAX))]
    pub port: u16,

    /// JSON file with the dice, instead of the three that are built in
    #[arg(long, env = "DIE_SPECIFICATIONS")]
    pub die_specifications: Option<PathBuf>,

    /// Faults to look at
    #[command(flatten)]
    pub faults: ::faults::Settings,

    /// The settings of every service
    #[command(flatten)]
    pub service: Settings,
}
