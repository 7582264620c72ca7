//! Builds a learner's program with cargo.

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

use crate::checkout::{Checkout, Source};

/// The executable; none where it does not compile, which cargo has said.
///
/// Together with `dice`, so that cargo chooses the features of the dependencies as for `cargo run`, and has compiled them
/// already.
pub(crate) fn compile(cargo: &Path, checkout: &Checkout, source: &Source) -> anyhow::Result<Option<PathBuf>> {
    let is_terminal = std::io::stderr().is_terminal();
    let format = if is_terminal { "json-diagnostic-rendered-ansi" } else { "json" };
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        let bytes = name.as_encoded_bytes();
        // `cargo run` says so what it runs; the build script of `ring` would see a change, and compile for half a minute.
        if bytes.starts_with(b"CARGO_PKG_") || bytes.starts_with(b"CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    let mut child = command
        .args(["build", "--package", "dice", "--package", "learning", "--bin", &source.target])
        .arg(format!("--message-format={format}"))
        .current_dir(&checkout.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("lessons are built with cargo, and {} cannot be started", cargo.display()))?;
    let mut executable = None;
    let stdout = child.stdout.take().context("cargo has no stdout")?;
    for line in BufReader::new(stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        if message["target"]["name"] != source.target.as_str() {
            continue;
        }
        if let Some(text) = message["message"]["rendered"].as_str() {
            eprint!("{}", text.replace(&source.path.display().to_string(), &source.shown));
        }
        executable = message["executable"].as_str().map(PathBuf::from).or(executable);
    }
    let status = child.wait()?;
    Ok(executable.filter(|_| status.success()))
}
