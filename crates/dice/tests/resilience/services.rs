//! The three services together, and what must be true of them whatever they were sent.

use test_support::http;

use crate::common::service::{NO_EXPORT, Service};

/// Running, without simulated work.
pub(crate) struct Services {
    pub(crate) die_service: Service,
    pub(crate) dice_roller: Service,
    pub(crate) frontend: Service,
}

impl Services {
    pub(crate) fn start() -> Self {
        let die_service = Service::start("die-service", &[NO_EXPORT]);
        let behind = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
        let dice_roller = Service::start("dice-roller", &behind);
        let urls = [("DIE_SERVICE_URL", &*die_service.url), ("DICE_ROLLER_URL", &*dice_roller.url), NO_EXPORT];
        let frontend = Service::start("frontend", &urls);
        Self { die_service, dice_roller, frontend }
    }

    /// Each with a route that takes the name of a die.
    pub(crate) fn with_targets(&self) -> [(&Service, &'static str); 3] {
        [(&self.die_service, "/dice?identifier="), (&self.dice_roller, "/roll?die="), (&self.frontend, "/roll?die=")]
    }

    /// They respond, nothing panicked, memory and labels are bounded.
    pub(crate) fn check(&self, memory: [f64; 3]) {
        for ((service, target), before) in self.with_targets().into_iter().zip(memory) {
            assert_eq!(service.get(&format!("{target}fair")).status, 200);
            assert!(service.lines_of("Panic").is_empty(), "{:?}", service.lines_of("Panic"));
            let grown = service.memory() - before;
            assert!(grown < 64.0, "{target}: {grown} MiB more");
            check_labels(service);
        }
    }

    /// Resident memory of each, in MiB.
    pub(crate) fn memory(&self) -> [f64; 3] {
        self.with_targets().map(|(service, _)| service.memory())
    }
}

/// No label has a value that a client made up.
pub(crate) fn check_labels(service: &Service) {
    let dice = ["fair", "risky", "extreme", "unknown"];
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "_OTHER"];
    let samples = http::metrics(&service.url);
    assert!(samples.len() < 1500, "{} samples", samples.len());
    for sample in samples.keys() {
        let labels = sample.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
        for (name, value) in labels.split("\",").filter_map(|label| label.split_once("=\"")) {
            let value = value.trim_end_matches('"');
            let known = match name {
                "handler" => ["/", "/dice", "/roll", "/roll-async", "none"].contains(&value),
                "method" => methods.contains(&value),
                "die_type" | "identifier" => dice.contains(&value),
                "batch_size" => value.parse::<u32>().is_ok_and(|size| (1..=20).contains(&size)),
                _ => value.len() < 40,
            };
            assert!(known, "{sample}");
        }
    }
}
