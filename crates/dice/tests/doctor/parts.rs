//! The parts of a system, each a process on a port of its own, and the doctor who looks at them.

use std::process::Command;

use serde_json::Value;

use crate::common::process::Process;

/// One process, and where it is.
pub(crate) struct Part {
    pub(crate) url: String,
    /// Where it takes OTLP: the trace viewer does.
    pub(crate) otlp: String,
    _process: Process,
}

impl Part {
    pub(crate) fn start(role: &str, settings: &[(&str, &str)]) -> Self {
        Self::start_with(&[role, "--port", "0"], settings)
    }

    pub(crate) fn viewer() -> Self {
        Self::start_with(&["trace-viewer", "--port", "0", "--otlp-port", "0"], &[])
    }

    fn start_with(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let process = Process::start(arguments, settings);
        let line = process.wait_for(|line| line.contains("starting up") || line.contains("error"));
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        let url = |field: &str| format!("http://{}", line[field].as_str().unwrap_or_default());
        Self { url: url("address"), otlp: url("otlp_address"), _process: process }
    }
}

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
    pub(crate) die_service: Part,
    pub(crate) dice_roller: Part,
    pub(crate) frontend: Part,
}

impl Services {
    /// Starts them, with spans that go to `otlp` at once and rolls that take hardly any time.
    pub(crate) fn start(otlp: &str, settings: Settings<'_>) -> Self {
        let common =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", otlp), ("OTEL_BSP_SCHEDULE_DELAY", "100"), ("ROLL_DELAY_MAX_MS", "20")];
        let start = |role, urls: &[(&str, &str)], own: &[(&str, &str)]| {
            Part::start(role, &[&common[..], urls, settings.all, own].concat())
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

/// What the doctor said.
#[derive(Debug)]
pub(crate) struct Examination {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Examination {
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

    /// Asserts that `hop` is the first broken one, and that the words about it hold all of `words`.
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
pub(crate) fn doctor(flags: &[String], more: &[&str]) -> Examination {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dice"));
    let output = command.arg("doctor").args(flags).args(more).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Examination { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
