//! The watched file. It is read every 200 ms: notification by the operating system (the crate `notify`) would need a
//! dependency for each system, and misses changes of mounted files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::MissedTickBehavior;

use crate::parse::Faults;
use crate::seal::{is_sealed, unseal};
use crate::switches::Switches;

const INTERVAL: Duration = Duration::from_millis(200);
/// A list of all faults has a tenth of it.
const MAX_BYTES: u64 = 4096;

/// Reads `path` again and again. What it says replaces what is on; a file that is not there or not valid changes nothing,
/// and leaves one line.
pub(crate) async fn watch(switches: Switches, path: PathBuf) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut applied) = (None, None);
    loop {
        interval.tick().await;
        let read = Some(read(&path).await);
        // Twice the same: a file that is being written is empty for a moment, which would switch all off.
        if read == before && read != applied {
            match read.as_ref().map(|read| read.as_ref().map(|content| (content, parse(content)))) {
                Some(Ok((content, Ok(faults)))) => switches.set(faults, is_sealed(content)),
                Some(Ok((_, Err(error)))) => not_used(&path, &error),
                Some(Err(error)) => not_used(&path, error),
                None => (),
            }
            applied.clone_from(&read);
        }
        before = read;
    }
}

fn not_used(path: &Path, error: &str) {
    let file = path.display().to_string();
    tracing::warn!(name: "fault.file.not_used", file, error, "Faults file not used");
}

/// The error does not quote what is sealed.
fn parse(content: &str) -> Result<Faults, String> {
    if !is_sealed(content) {
        return content.replace(['\n', '\r'], ",").parse();
    }
    let opened = unseal(content).and_then(|opened| opened.parse().ok());
    opened.ok_or_else(|| "what is sealed in it is not valid".to_owned())
}

async fn read(path: &Path) -> Result<String, String> {
    let open = async {
        // A pipe would be waited for.
        if !tokio::fs::metadata(path).await?.is_file() {
            return Err(std::io::Error::other("it is no regular file"));
        }
        let mut content = String::new();
        tokio::fs::File::open(path).await?.take(MAX_BYTES + 1).read_to_string(&mut content).await?;
        Ok(content)
    };
    match open.await {
        Ok(content) if content.len() as u64 > MAX_BYTES => Err(format!("it is longer than {MAX_BYTES} bytes")),
        Ok(content) => Ok(content),
        Err(error) => Err(error.to_string()),
    }
}
