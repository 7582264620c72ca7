//! The last log lines of a container, where Docker is.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::spawn;
use std::time::Duration;

/// Lines that are shown, and characters of each.
const LINES: usize = 20;
const SHOWN: usize = 300;

/// For Docker's response.
const LIMIT: Duration = Duration::from_secs(5);

/// The last log lines of `container`, a name in the docker-compose.yml of this directory; none where Docker, the file or the
/// container is not there.
pub(crate) fn last_log_lines(container: &str) -> Vec<String> {
    let mut command = Command::new("docker");
    command.args(["compose", "logs", "--no-color", "--no-log-prefix", "--tail", &LINES.to_string(), container]);
    let Ok(mut docker) = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
        return Vec::new();
    };
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stdout) = docker.stdout.take() {
        spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        });
    }
    let bytes = receiver.recv_timeout(LIMIT).unwrap_or_default();
    let _ = docker.kill(); // it has written all, or takes too long
    let _ = docker.wait();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    // A control character could move the cursor, or hide what follows.
    last.iter().map(|line| line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()).collect()
}
