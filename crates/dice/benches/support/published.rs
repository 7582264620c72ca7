//! The program `benches/published-crates`, at the root of the repository: dice-roller instrumented with published crates.
//! It is a workspace of its own, so cargo has to be told to build it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Builds it with the profile of the images, below our own target directory; returns its path.
///
/// # Errors
/// When it cannot be built, for example because its dependencies are not there and cannot be fetched.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/published-crates");
    // target/<profile>/dice
    let target = Path::new(env!("CARGO_BIN_EXE_dice")).ancestors().nth(2).context("cargo's target directory")?;
    let target = target.join("published-crates");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(source)
        .status()?;
    ensure!(built.success(), "cargo build: {built}");
    Ok(target.join("release/published-crates"))
}
