//! An incident in a system of its own, with traffic that is as fast as a test needs it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use mystery::{Incident, LEVELS};
use serde_json::Value;
use test_support::{Finished, Process, eventually, http};

use crate::common::Ports;

/// Users who hardly think, and rolls that hardly take time: hundreds of requests within seconds.
const FAST: [(&str, &str); 3] = [("ROLL_DELAY_MAX_MS", "60"), ("NUM_USERS", "6"), ("THINK_TIME_MS", "100-300")];

/// A running incident; its folder is deleted when it is dropped.
pub(crate) struct Play {
    pub(crate) launcher: Process,
    pub(crate) ports: Ports,
    pub(crate) folder: PathBuf,
}

/// A folder of its own, in which the incident keeps its files.
pub(crate) fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("dice-mystery-{}-{next}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs `dice` in a folder, with this environment alone.
pub(crate) fn dice_in(folder: &PathBuf, args: &[&str], environment: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dice"));
    command.args(args).env_clear().envs(environment.iter().copied()).current_dir(folder);
    Process::spawn(command).unwrap()
}

/// A seed that nobody has chosen, and a level, of an incident with this mechanism.
pub(crate) fn fresh(mechanism: &str) -> (u64, u8) {
    let start = rand::random::<u64>() >> 1;
    let all = (start..).flat_map(|seed| LEVELS.map(move |level| (seed, level)));
    all.into_iter().find(|&(seed, level)| Incident::new(seed, level).mechanism.name == mechanism).unwrap()
}

impl Play {
    /// Starts the incident of a seed.
    pub(crate) fn start(seed: u64, level: u8, environment: &[(&str, &str)]) -> Self {
        let folder = folder();
        let (seed, level) = (seed.to_string(), level.to_string());
        // The ports were free a moment ago; another process may have taken them since.
        let (launcher, ports) = eventually("a system whose ports stay free", || {
            let ports = Ports::next();
            let offset = ports.offset.to_string();
            let args = ["mystery", "--seed", &seed, "--level", &level, "--port-offset", &offset];
            let launcher = dice_in(&folder, &args, &[&FAST[..], environment].concat());
            let not_free = |line: &str| line.contains("taken") || line.contains("cannot listen");
            let line = launcher.wait_for(|line| line.contains("The system is running") || not_free(line));
            (!not_free(&line)).then_some((launcher, ports))
        });
        Self { launcher, ports, folder }
    }

    /// Waits until the incident has begun, and so many traces have arrived since.
    pub(crate) fn wait_for_traces(&self, count: u64) {
        self.launcher.wait_for(|line| line.contains("The incident begins"));
        let traces = || {
            let text = http::get(self.ports.viewer() + "/metrics").text();
            let line = text.lines().find_map(|line| line.strip_prefix("trace_viewer_traces "));
            line.unwrap().parse::<u64>().unwrap()
        };
        let before = traces();
        eventually("traces of the incident", || (traces() >= before + count).then_some(()));
    }

    /// `dice mystery` with these arguments, for this system.
    pub(crate) fn mystery(&self, args: &[&str]) -> Finished {
        let offset = self.ports.offset.to_string();
        dice_in(&self.folder, &[&["mystery"], args, &["--port-offset", &offset]].concat(), &[]).finish()
    }

    /// `dice mystery answer --json`, and whether it exited as right.
    pub(crate) fn answer(&self, culprit: &str, mechanism: &str, evidence: &str) -> (bool, Value) {
        let args = ["answer", "--culprit", culprit, "--mechanism", mechanism, "--evidence", evidence, "--json"];
        let finished = self.mystery(&args);
        let verdict: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{}", finished.stderr));
        assert_eq!(finished.status.code(), Some(i32::from(verdict["right"] != true)), "{verdict}");
        (verdict["right"] == true, verdict)
    }

    /// Stops it as Ctrl-C does.
    pub(crate) fn stop(&mut self) {
        let status = self.launcher.stop();
        assert!(status.success(), "{status}: {}", self.launcher.text());
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
