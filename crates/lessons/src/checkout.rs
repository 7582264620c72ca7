//! The checkout of this repository, and the learner's files in it.

use std::fs::{self, File, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::lesson::Lesson;

/// The longest program that is checked.
const MAX_FILE: u64 = 1 << 20;

/// The folder with the learner's package.
#[derive(Debug, Clone)]
pub(crate) struct Checkout {
    pub(crate) root: PathBuf,
}

/// A program to build, as a file of the learner's package.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below the root of the checkout.
    pub(crate) path: PathBuf,
    /// The name of the program.
    pub(crate) target: String,
    /// What the learner calls the file.
    pub(crate) shown: String,
    /// Whether it was not there before.
    pub(crate) is_new: bool,
    copy: Option<PathBuf>,
}

impl Checkout {
    /// The checkout that the current folder is in.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let here = std::env::current_dir().context("the current folder is gone")?;
        let is_root =
            |folder: &&Path| folder.join("learning/Cargo.toml").is_file() && folder.join("crates/lessons").is_dir();
        let root = here.ancestors().find(is_root).context(
            "lessons need a checkout of this repository, which this folder is not in: `git clone` it, and run this there",
        )?;
        Ok(Self { root: root.to_owned() })
    }

    /// Waits until no other check uses the files of this checkout, and removes the copy that one has left which was killed.
    /// The lock ends with what is returned.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        let path = Path::new("learning/.lock");
        let file = File::create(self.root.join(path)).with_context(|| not_written(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another check in this checkout");
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        for lesson in Lesson::all() {
            let _ = fs::remove_file(self.root.join(copy_of(lesson))); // mostly there is none
        }
        Ok(file)
    }

    /// The learner's file of a lesson; a copy of the exercise where it is missing, or after `reset`.
    pub(crate) fn source(&self, lesson: &Lesson, reset: bool) -> anyhow::Result<Source> {
        let target = lesson.target();
        let path = PathBuf::from(format!("learning/src/bin/{target}.rs"));
        let file = self.root.join(&path);
        if reset && file.exists() {
            let old = |path: &Path| path.with_extension("rs.old");
            fs::rename(&file, old(&file)).with_context(|| not_written(&old(&path)))?;
        }
        let is_new = !file.exists();
        if is_new {
            fs::write(&file, lesson.exercise).with_context(|| not_written(&path))?;
        }
        Ok(Source { shown: path.display().to_string(), path, target, is_new, copy: None })
    }

    /// Another program for the same lesson. It is copied beside the learner's files until it is dropped: only there has it
    /// the dependencies.
    pub(crate) fn copy(&self, lesson: &Lesson, from: &Path) -> anyhow::Result<Source> {
        let shown = from.display().to_string();
        let mut text = String::new();
        let file = File::open(from).with_context(|| shown.clone())?;
        file.take(MAX_FILE + 1).read_to_string(&mut text).with_context(|| shown.clone())?;
        ensure!(text.len() as u64 <= MAX_FILE, "{shown} is longer than {} KiB", MAX_FILE >> 10);
        let path = copy_of(lesson);
        let target = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let copy = self.root.join(&path);
        fs::write(&copy, text).with_context(|| not_written(&path))?;
        Ok(Source { path, target, shown, is_new: false, copy: Some(copy) })
    }

    /// As a person in the current folder names this file.
    pub(crate) fn shown(&self, path: &str) -> String {
        let whole = self.root.join(path);
        let is_here = std::env::current_dir().is_ok_and(|here| here == self.root);
        if is_here { path.to_owned() } else { whole.display().to_string() }
    }
}

/// For an error that says why: a checkout may be read-only.
pub(crate) fn not_written(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

/// Where another program for this lesson is, for as long as it is checked.
fn copy_of(lesson: &Lesson) -> PathBuf {
    PathBuf::from(format!("learning/src/bin/{}_file.rs", lesson.target()))
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            let _ = fs::remove_file(copy); // the next check would overwrite it
        }
    }
}
