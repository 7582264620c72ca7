//! The settings of frontend. Each is a flag and an environment variable; the comments are its `--help`.

use std::num::NonZeroU32;

use reqwest::Url;
use service::BreakerSettings;
use service::settings::{Settings, base_url, within};

/// The page on which people roll dice, and the proxy behind it: `GET /`, `GET /roll?die=fair`.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "frontend", version)]
pub struct Config {
    /// Address to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen on; 0 takes any free one
    #[arg(long, env = "PORT", default_value_t = 8108, value_parser = within(0..=u16::MAX))]
    pub port: u16,

    /// Where die-service is
    #[arg(long, env = "DIE_SERVICE_URL", default_value = "http://127.0.0.1:8106", value_parser = base_url)]
    pub die_service_url: Url,

    /// Where dice-roller is
    #[arg(long, env = "DICE_ROLLER_URL", default_value = "http://127.0.0.1:8107", value_parser = base_url)]
    pub dice_roller_url: Url,

    /// The most rolls of one batch
    #[arg(long, env = "MAX_ASYNC_ROLLS", default_value_t = 20, value_parser = within(1..=1000_u32))]
    pub max_async_rolls: u32,

    /// Rolls a second that one client address may request, also all at once: a batch counts as all its rolls, any other
    /// request for a page or a roll as one; 0 means any number
    #[arg(long, env = "RATE_LIMIT_PER_SECOND", default_value = "0", value_parser = rate)]
    pub rate_limit_per_second: Rate,

    /// Address of a trace's page, for the link "View trace"; `{trace_id}` stands for the trace's id
    #[arg(long, env = "TRACE_URL_TEMPLATE", default_value = "http://127.0.0.1:3200/trace/{trace_id}", value_parser = trace_url)]
    pub trace_url_template: String,

    /// The circuit breakers in front of dice-roller and die-service
    #[command(flatten)]
    pub breaker: BreakerSettings,

    /// Faults to look at
    #[command(flatten)]
    pub faults: ::faults::Settings,

    /// The settings of every service
    #[command(flatten)]
    pub service: Settings,
}

/// Rolls a second; none means any number. The alias keeps clap from taking the `Option` for a setting without default.
pub(crate) type Rate = Option<NonZeroU32>;

fn rate(text: &str) -> Result<Rate, String> {
    within(0..=1_000_000)(text).map(NonZeroU32::new)
}

/// Where the trace viewer is. None where `template` does not have the form of its pages.
pub(crate) fn viewer_url(template: &str) -> Option<&str> {
    template.strip_suffix("/trace/{trace_id}").filter(|base| !base.contains(['?', '#', '{']))
}

/// A link that the page shows: only `http` and `https`, so that it cannot be a script.
fn trace_url(text: &str) -> Result<String, String> {
    let example = text.replace("{trace_id}", &"0".repeat(32));
    match Url::parse(&example) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && example != text => Ok(text.to_owned()),
        _ => Err("allowed: an http or https URL with {trace_id} in it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_link_is_http_and_names_the_trace() {
        for good in ["http://127.0.0.1:3200/trace/{trace_id}", "https://grafana/explore?left={\"q\":\"{trace_id}\"}"] {
            assert_eq!(trace_url(good).as_deref(), Ok(good));
        }
        for bad in ["http://127.0.0.1:3200/trace/", "javascript:alert('{trace_id}')", "/trace/{trace_id}", ""] {
            assert!(trace_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn viewer_is_known_where_the_trace_link_is_its_own() {
        let template = "http://127.0.0.1:3200/trace/{trace_id}";
        assert_eq!(viewer_url(template), Some("http://127.0.0.1:3200"));
        let behind_proxy = "https://example.org/viewer/trace/{trace_id}";
        assert_eq!(viewer_url(behind_proxy), Some("https://example.org/viewer"));
        for other in [
            "http://g/explore?left={\"q\":\"{trace_id}\"}",
            "http://g/x?y=/trace/{trace_id}",
            "http://j/traces/{trace_id}",
        ] {
            assert_eq!(viewer_url(other), None, "{other}");
        }
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        assert_eq!(rate("0"), Ok(None));
        assert_eq!(rate("7"), Ok(NonZeroU32::new(7)));
        assert!(rate("-1").is_err() && rate("many").is_err());
    }
}
