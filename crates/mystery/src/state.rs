//! What is kept between two processes, the launcher and `mystery answer`: files in one folder.
//!
//! The launcher holds a lock for as long as the incident runs, so that an incident whose launcher was killed is none.
//! The answer is sealed: nobody reads it by opening or searching a file. Somebody who wants to can still open the seal;
//! it is there against accidents.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The folder, below the one in which the command is run.
pub const FOLDER: &str = ".mystery";

/// The most that is read of a file.
const MAX_FILE: u64 = 1 << 20;

/// The running incident, as the launcher leaves it for `answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Decides the incident.
    pub seed: u64,
    /// Decides the incident.
    pub level: u8,
    /// Another for each start, so that an incident is scored once.
    pub run: u64,
    /// When the fault was switched on, in nanoseconds since 1970; 0 before.
    pub since: u64,
    /// The address of the viewer; empty before.
    pub viewer: String,
}

/// The files of the system with one port offset.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
    offset: u16,
}

/// Held for as long as the incident runs; when it is dropped, the files of the incident are deleted.
#[derive(Debug)]
pub struct Lock {
    files: Files,
    _locked: File,
}

impl Files {
    /// Those below this folder.
    pub fn new(below: &Path, offset: u16) -> Self {
        Self { folder: below.join(FOLDER), offset }
    }

    /// The file of this name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{}", self.offset))
    }

    /// Where the score of all incidents is.
    pub(crate) fn score(&self) -> PathBuf {
        self.folder.join("score.json")
    }

    /// Makes the folder and takes the lock.
    ///
    /// # Errors
    /// When the folder cannot be written to, or an incident runs.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        let shown = || self.folder.display().to_string().escape_debug().to_string();
        fs::create_dir_all(&self.folder).with_context(shown)?;
        let locked = File::create(self.path("lock")).with_context(shown)?;
        match locked.try_lock() {
            Ok(()) => Ok(Lock { files: self.clone(), _locked: locked }),
            Err(TryLockError::WouldBlock) => bail!(
                "an incident runs already: answer it, or stop it with Ctrl-C where it runs; a second one needs other \
                 ports: `cargo run -- mystery --port-offset {}`",
                self.offset.saturating_add(100)
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(shown),
        }
    }

    /// The incident that runs.
    ///
    /// # Errors
    /// When none does.
    pub fn running(&self) -> anyhow::Result<Running> {
        let none = || {
            let (at, elsewhere) = (format!(" with --port-offset {}", self.offset), self.running_elsewhere());
            match elsewhere.first() {
                Some(offset) => format!(
                    "no incident runs{at} that was started in this folder, but one with --port-offset {offset}: \
                     `cargo run -- mystery answer --port-offset {offset} …`"
                ),
                None => {
                    let at = if self.offset == 0 { "" } else { &at };
                    format!("no incident runs{at} that was started in this folder: `cargo run -- mystery` starts one")
                }
            }
        };
        if !self.runs().with_context(none)? {
            bail!(none());
        }
        let sealed = read_bounded(&self.path("incident")).with_context(none)?;
        let damaged = || "the file of the incident is damaged: stop the incident, and start it again";
        let text = faults::unseal(&sealed).with_context(damaged)?;
        serde_json::from_str(&text).with_context(damaged)
    }

    /// Whether a launcher holds the lock.
    fn runs(&self) -> std::io::Result<bool> {
        match File::open(self.path("lock")) {
            Ok(file) => Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The other offsets at which an incident runs, the smallest first.
    fn running_elsewhere(&self) -> Vec<u16> {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let offsets = names.filter_map(|name| name.to_str()?.strip_prefix("lock-")?.parse().ok());
        let runs = |offset: &u16| Self { offset: *offset, ..self.clone() }.runs().unwrap_or(false);
        let mut offsets: Vec<_> = offsets.filter(runs).collect();
        offsets.sort_unstable();
        offsets
    }
}

impl Lock {
    /// Writes what `answer` reads.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, running: &Running) -> anyhow::Result<()> {
        replace(&self.files.path("incident"), &faults::seal(&serde_json::to_string(running)?))
    }

    /// Writes another file of the incident.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_other(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let path = self.files.path(name);
        replace(&path, content)?;
        // Services are started in the same folder, but a setting that names a file should not depend on that.
        Ok(std::path::absolute(&path).unwrap_or(path))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let suffix = format!("-{}", self.files.offset);
        for entry in fs::read_dir(&self.files.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(&suffix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A JSON file that is replaced as a whole.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match read_bounded(path) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes the whole content or nothing: a reader never sees a half.
pub(crate) fn replace(path: &Path, content: &str) -> anyhow::Result<()> {
    let shown = || path.display().to_string().escape_debug().to_string();
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    fs::write(&new, content).and_then(|()| fs::rename(&new, path)).with_context(shown)
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incident_is_read_while_it_is_locked_and_gone_afterwards() {
        let folder = std::env::temp_dir().join(format!("mystery-state-{}", std::process::id()));
        let (files, others) = (Files::new(&folder, 0), Files::new(&folder, 100));
        let none = |files: &Files| files.running().unwrap_err().to_string();
        assert!(none(&files).starts_with("no incident runs that was started in this folder"), "{}", none(&files));
        let (lock, _other) = (files.lock().unwrap(), others.lock().unwrap());
        assert!(files.lock().unwrap_err().to_string().starts_with("an incident runs already"));
        let running = Running { seed: 7, level: 2, run: 9, since: 0, viewer: String::new() };
        lock.write(&running).unwrap();
        let path = lock.write_other("dice", "{}").unwrap();
        assert_eq!((files.running().unwrap(), path.is_absolute()), (running, true));
        assert!(none(&others).starts_with("no incident runs with --port-offset 100"), "{}", none(&others));

        for damaged in ["", "sealed:00", "{}"] {
            fs::write(files.path("incident"), damaged).unwrap();
            assert!(none(&files).starts_with("the file of the incident is damaged"), "{}", none(&files));
        }
        drop(lock);
        let elsewhere =
            "no incident runs with --port-offset 0 that was started in this folder, but one with --port-offset 100: ";
        assert!(none(&files).starts_with(elsewhere), "{}", none(&files));
        assert!(!path.exists() && others.path("lock").exists());
        assert!(none(&files).starts_with("no incident runs"), "{}", none(&files));
        fs::remove_dir_all(&folder).unwrap();
    }
}
