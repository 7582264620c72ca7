//! The settings of dice-roller. Each is a flag and an environment variable; the comments are its `--help`.

use reqwest::Url;
use service::BreakerSettings;
use service::settings::{Settings, base_url, within};

/// Rolls one die (`GET /roll?die=fair`) or a batch concurrently (`GET /roll-async?die=fair&times=5`).
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "dice-roller", version)]
pub struct Config {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 8107, value_parser = within(0..=u16::MAX))]
    pub port: u16,

    /// Where die-service is
    #[arg(long, env = "DIE_SERVICE_URL", default_value = "http://127.0.0.1:8106", value_parser = base_url)]
    pub die_service_url: Url,

    /// Simulated work: a roll takes a uniformly random time from 0 to this many milliseconds; 0 is none
    #[arg(long, env = "ROLL_DELAY_MAX_MS", default_value_t = 1000, value_parser = within(0..=60_000_u64))]
    pub roll_delay_max_ms: u64,

    /// Most rolls in one batch: the largest `times`
    #[arg(long, env = "MAX_ASYNC_ROLLS", default_value_t = 20, value_parser = within(1..=1000_u32))]
    pub max_async_rolls: u32,

    /// Makes rolls repeatable: one random stream per request number and roll index
    #[arg(long, env = "ROLL_SEED", value_parser = within(0..=u64::MAX))]
    pub roll_seed: Option<u64>,

    /// Rolls that may be under way at once in this process
    #[arg(long, env = "MAX_CONCURRENT_ROLLS", default_value_t = 50_000, value_parser = within(1..=10_000_000_usize))]
    pub max_concurrent_rolls: usize,

    /// Rolls that may wait for a permit; beyond them requests are refused with 429
    #[arg(long, env = "MAX_QUEUED_ROLLS", default_value_t = 50_000, value_parser = within(0..=10_000_000_usize))]
    pub max_queued_rolls: usize,

    /// Circuit breaker towards die-service
    #[command(flatten)]
    pub breaker: BreakerSettings,

    /// Faults to look at
    #[command(flatten)]
    pub faults: ::faults::Settings,

    /// What every service can be told
    #[command(flatten)]
    pub service: Settings,
}
