//! Which lessons are passed. It is a file beside the learner's programs, because it says something of these: who deletes
//! the checkout, or has another, begins again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::checkout::{Checkout, not_written};

/// A longer file is not ours.
const MAX_FILE: u64 = 1 << 20;

/// What is remembered of a learner.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// The names of lessons.
    pub(crate) passed: BTreeSet<String>,
    /// By the names of lessons.
    pub(crate) predictions: BTreeMap<String, String>,
}

fn path(checkout: &Checkout) -> PathBuf {
    checkout.root.join("learning/progress.json")
}

impl Progress {
    /// What was kept. A file that cannot be read counts as none, and is moved aside when the next one is kept.
    pub(crate) fn read(checkout: &Checkout) -> Self {
        let path = path(checkout);
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
        match read.map_err(anyhow::Error::from).and_then(|_| Ok(serde_json::from_str(&text)?)) {
            Ok(progress) => progress,
            Err(_) if !path.exists() => Self::default(),
            Err(error) => {
                let aside = path.with_extension("json.broken");
                let moved = if fs::rename(&path, &aside).is_ok() { ", now progress.json.broken," } else { "" };
                eprintln!("learning/progress.json{moved} is not readable ({error}): no lesson counts as passed");
                Self::default()
            }
        }
    }

    /// Keeps it. The old file stays whole where that fails.
    pub(crate) fn keep(&self, checkout: &Checkout) -> anyhow::Result<()> {
        let (path, new) = (path(checkout), path(checkout).with_extension("json.new"));
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| not_written(Path::new("learning/progress.json")))
    }
}
