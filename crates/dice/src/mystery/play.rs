//! A running incident: the system with traffic, healthy at first, then with the fault.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use mystery::{Files, Incident, Lock, Running, Setup, Viewer};
use reqwest::Url;
use service::settings::parse_with;

use crate::output::Output;
use crate::services::{FRONTEND, Service, TRACE_VIEWER};
use crate::system::{Part, System};

/// Traces of batches, and of single rolls, that the viewer holds before the incident begins: enough to compare with.
const HEALTHY_TRACES: usize = 12;
/// How long the system stays healthy at least, in times of the longest roll: 20 s with the default.
const HEALTHY_FOR: u32 = 50;

/// Between two looks whether they are there.
const PAUSE: Duration = Duration::from_millis(300);

/// Between two batches of the client that rolls one at a time.
const ONE_AT_A_TIME: Duration = Duration::from_secs(2);

/// The traffic is a process beside the services: its users wait for responses, and think.
const TRAFFIC: Service = Service {
    name: "generate-traffic",
    port: 0,
    url_setting: "",
    colour: "35",
    to_try: &[],
    check: |environment| Ok(parse_with::<traffic_gen::generate::Config>(environment).map(drop)?),
};

/// The users: those of the generator's settings that are not set. They go on until Ctrl-C.
const USERS: [(&str, &str); 4] = [
    ("NUM_USERS", "8"),
    ("MAX_ROLLS_PER_USER", "1000000"),
    ("ASYNC_PROBABILITY", "0.6"),
    ("THINK_TIME_MS", "300-1500"),
];

/// An incident and its files.
#[derive(Debug)]
pub(crate) struct Play {
    incident: Incident,
    setup: Setup,
    running: Running,
    healthy_for: Duration,
    lock: Lock,
    command: String,
}

/// Small enough to be typed.
pub(super) fn random_seed() -> u64 {
    // The hasher of the standard library has random keys.
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(SystemTime::now()) % 1_000_000
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

impl Play {
    /// Takes the lock of this incident's files. `command` is how the incident was called, without its port offset.
    ///
    /// # Errors
    /// When an incident runs already, or the files cannot be written.
    pub(crate) fn new(
        incident: Incident,
        roll_delay_max_ms: u64,
        files: &Files,
        command: String,
    ) -> anyhow::Result<Self> {
        let (seed, level) = (incident.seed, incident.level);
        let lock = files.lock()?;
        let running = Running { seed, level, run: random_seed(), since: 0, viewer: String::new() };
        lock.write(&running)?;
        let setup = incident.setup(roll_delay_max_ms);
        let healthy_for = Duration::from_millis(roll_delay_max_ms) * HEALTHY_FOR;
        Ok(Self { incident, setup, running, healthy_for, lock, command })
    }

    /// How the incident was called, without its port offset.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// Adds what the incident needs to the settings of the services.
    ///
    /// # Errors
    /// When a file cannot be written, or spans go elsewhere.
    pub(crate) fn prepare(&self, system: &mut System) -> anyhow::Result<()> {
        ensure!(
            system.other_backend.is_none(),
            "a mystery needs the trace viewer: unset OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        );
        let file = |name, content: &str| {
            let path = self.lock.write_other(name, content)?;
            path.into_os_string().into_string().ok().context("the path of this folder is not UTF-8")
        };
        system.set(None, "FAULTS_FILE", file("switches", &Incident::sealed_before())?);
        system.set(None, "DIE_SPECIFICATIONS", file("dice", &self.setup.specifications.to_string())?);
        for (variable, value) in &self.setup.environment {
            system.set(None, variable, value.clone());
        }
        if let Some((service, variable, value)) = &self.setup.of_one {
            system.set(Some(service), variable, value.clone());
        }
        for (variable, value) in USERS.into_iter().filter(|(variable, _)| !is_set(variable)) {
            system.set(Some(TRAFFIC.name), variable, value.to_owned());
        }
        let of_traffic = [
            ("DICE", self.setup.dice.join(",")),
            ("SEED", (self.incident.chance >> 32).to_string()),
            ("FRONTEND_URL", system.url_of(&FRONTEND).to_owned()),
        ];
        of_traffic.into_iter().for_each(|(variable, value)| system.set(Some(TRAFFIC.name), variable, value));
        (TRAFFIC.check)(&system.environment_of(&self.traffic()))
    }

    /// The process that makes the traffic.
    pub(crate) fn traffic(&self) -> Part {
        Part::client(&TRAFFIC)
    }

    /// What a person reads first.
    pub(crate) fn welcome(&self, system: &System) -> String {
        let Incident { seed, level, .. } = self.incident;
        let mut text = "\nThe system is running, and people roll dice. Soon one thing may go wrong in one\
                        \nservice. Find out what, and where.\n\n"
            .to_owned();
        for part in system.parts.iter().rev() {
            let what = match part.service.name {
                name if name == TRACE_VIEWER.name => "the traces; /map shows who calls whom",
                _ => "its metrics are at /metrics",
            };
            text += &format!("  {:<14}{:<24}{what}\n", part.service.name, part.url);
        }
        let offset = match system.offset {
            0 => String::new(),
            offset => format!(" --port-offset {offset}"),
        };
        text += &format!(
            "\nThis is seed {seed}, level {level}. The same incident again:\
             \n     cargo run -- mystery --seed {seed} --level {level}{offset}\n\
             \n  1. Open the trace viewer and look at some healthy traces. A\
             \n     simulated_user_async_request rolls several dice at once, a\
             \n     simulated_user_sync_request one. \"First span missing\" is a request that is\
             \n     still under way.\
             \n  2. A line below says when the incident begins, and the next one leads to a\
             \n     healthy trace. Look at traces from after it; tick two in the list to\
             \n     compare them.\
             \n  3. In another terminal, list what can be wrong:\
             \n     cargo run -- mystery mechanisms\
             \n  4. Answer in that terminal, with a trace that shows it; its id is in the\
             \n     address of its page:\
             \n     cargo run -- mystery answer{offset} \\\
             \n       --culprit SERVICE --mechanism NAME --evidence TRACE_ID\
             \n\nNothing being wrong is an answer too: --culprit none --mechanism healthy. Not\
             \nall that looks odd is wrong. Log lines are in the details of their span;\
             \nLOG_FORMAT=json writes all of them here. Ctrl-C stops everything.\n"
        );
        text
    }

    /// Waits for healthy traces, and begins the incident; from then on only the decoy client is left to do.
    ///
    /// # Errors
    /// When the file that switches the fault on cannot be written.
    pub(crate) async fn proceed(&self, system: &System, output: &Output) -> anyhow::Result<()> {
        // One TLS implementation for every client of the process; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let viewer = Viewer::new(Url::parse(system.url_of(&TRACE_VIEWER))?)?;
        let incident = async {
            let began = Instant::now();
            let mut healthy = Vec::new();
            for condition in [r#"name = "GET /roll""#, r#"name = "GET /roll-async" && span.async.batch_size > 3"#] {
                healthy.clear();
                let query = format!(r#"{{ {condition} && resource.service.name = "dice-roller" && status != error }}"#);
                // The viewer may be started again meanwhile.
                while healthy.len() < HEALTHY_TRACES {
                    healthy = viewer.search(&query, None).await.unwrap_or_default();
                    tokio::time::sleep(PAUSE).await;
                }
            }
            tokio::time::sleep_until((began + self.healthy_for).into()).await;
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.lock.write_other("switches", &self.incident.sealed())?;
            let (since, address) = (u64::try_from(since.as_nanos())?, viewer.address().to_owned());
            self.lock.write(&Running { since, viewer: address, ..self.running.clone() })?;
            // Not the newest, which may not have arrived as a whole.
            let healthy = healthy.last().map(|id| format!("\nA healthy trace: {}/trace/{id}", viewer.address()));
            let text = "The incident begins: what arrives from now on may be different.";
            output.say(&format!("{text}{}", healthy.unwrap_or_default())).await;
            std::future::pending().await
        };
        tokio::select! {
            failed = incident => failed,
            failed = self.one_at_a_time(system.url_of(&FRONTEND)) => failed,
        }
    }

    /// A client that rolls batches with `concurrency=1`, where that is a decoy.
    async fn one_at_a_time(&self, frontend: &str) -> anyhow::Result<()> {
        if !self.setup.one_at_a_time {
            return std::future::pending().await;
        }
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        loop {
            // What becomes of it is in its trace.
            let _ = http.get(format!("{frontend}/roll-async?die=fair&times=6&concurrency=1")).send().await;
            tokio::time::sleep(ONE_AT_A_TIME).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::services::SERVICES;

    #[test]
    fn services_that_can_be_culprits_are_those_of_the_table() {
        let table: Vec<_> = SERVICES.into_iter().map(|service| service.name).collect();
        assert!(mystery::SERVICES.iter().all(|service| table.contains(service)), "{table:?}");
    }
}
