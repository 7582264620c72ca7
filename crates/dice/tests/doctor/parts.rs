//! The services, each a process on a port of its own, and the doctor that checks them.

use serde_json::Value;

use crate::common::dice;
use crate::common::service::Service;

/// Settings of all services, of each alone, and in which order they win: the last.
#[derive(Default, Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) all: &'a [(&'a str, &'a str)],
    pub(crate) die_service: &'a [(&'a str, &'a str)],
    pub(crate) dice_roller: &'a [(&'a str, &'a str)],
    pub(crate) frontend: &'a [(&'a str, &'a str)],
}

/// The three services.
pub(crate) struct Services {
    pub(crate) die_service: Service,
    pub(crate) dice_roller: Service,
    pub(crate) frontend: Service,
}

impl Services {
    /// Starts them, with spans that go to `otlp` at once and rolls that take hardly any time.
    pub(crate) fn start(otlp: &str, settings: Settings<'_>) -> Self {
        let common =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", otlp), ("OTEL_BSP_SCHEDULE_DELAY", "100"), ("ROLL_DELAY_MAX_MS", "20")];
        let start = |role, urls: &[(&str, &str)], own: &[(&str, &str)]| {
            Service::start(role, &[&common[..], urls, settings.all, own].concat())
        };
        let die_service = start("die-service", &[], settings.die_service);
        let die_service_url = ("DIE_SERVICE_URL", &*die_service.url);
        let dice_roller = start("dice-roller", &[die_service_url], settings.dice_roller);
        let urls = [die_service_url, ("DICE_ROLLER_URL", &*dice_roller.url)];
        let frontend = start("frontend", &urls, settings.frontend);
        Self { die_service, dice_roller, frontend }
    }

    /// The doctor's flags that name them.
    pub(crate) fn flags(&self) -> Vec<String> {
        vec![
            format!("--die-service-url={}", self.die_service.url),
            format!("--dice-roller-url={}", self.dice_roller.url),
            format!("--frontend-url={}", self.frontend.url),
        ]
    }
}

/// What the doctor wrote.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `ok`, `failed` or `skipped`, and what was found.
    pub(crate) fn hop(&self, name: &str) -> (String, String) {
        let report = self.json();
        let hop = report["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == name);
        let hop = hop.unwrap_or_else(|| panic!("no hop '{name}' in {}", self.stdout));
        (hop["state"].as_str().unwrap().to_owned(), hop["found"].as_str().unwrap().to_owned())
    }

    /// Asserts that `hop` is the first broken one, and that its text holds all of `words`.
    #[track_caller]
    pub(crate) fn assert_breaks_at(&self, hop: &str, words: &[&str]) {
        let report = self.json();
        assert_eq!(report["first_broken"], hop, "{report:#}");
        assert_eq!((self.status, &report["ok"]), (Some(1), &Value::Bool(false)), "{report:#}");
        let line = report["hops"].as_array().unwrap().iter().find(|line| line["hop"] == hop).unwrap().to_string();
        for word in words {
            assert!(line.contains(word), "'{word}' is not in {line}");
        }
        assert!(line.contains("likely_cause") && line.contains("what_to_do"), "{line}");
        assert!(self.stderr.contains(hop), "{}", self.stderr);
    }
}

/// Runs the doctor with these flags and nothing in its environment.
pub(crate) fn doctor(flags: &[String], more: &[&str]) -> Report {
    doctor_with(flags, more, &[])
}

/// The same with an environment.
pub(crate) fn doctor_with(flags: &[String], more: &[&str], environment: &[(&str, &str)]) -> Report {
    let flags = flags.iter().map(String::as_str);
    let args: Vec<_> = std::iter::once("doctor").chain(flags).chain(more.iter().copied()).collect();
    let finished = dice(&args, environment).finish();
    Report { status: finished.status.code(), stdout: finished.stdout, stderr: finished.stderr }
}
