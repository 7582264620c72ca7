//! All that is said of one trace.

use serde::Serialize;

use crate::critical_path::{Path, Share, critical_path};
use crate::errors::{Failure, errors};
use crate::groups::{Group, groups};
use crate::sentence::Story;
use crate::tree::Tree;

/// What `dice show --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// One to three sentences.
    pub sentence: String,
    /// Of the root.
    pub duration_seconds: f64,
    /// The shares of the critical path, the largest first; empty while the trace arrives, and for a root without duration.
    pub critical_path: Vec<Share>,
    /// Three and more children of one parent with the same callee.
    pub groups: Vec<Group>,
    /// Where spans failed, by end.
    pub errors: Vec<Failure>,
    /// What makes the rest less certain.
    pub flags: Flags,
    /// The critical path itself.
    #[serde(skip)]
    pub path: Path,
    /// The group that says most about the duration; also one of two members.
    #[serde(skip)]
    pub main_group: Option<Group>,
}

/// What makes a report less certain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Flags {
    /// Spans are missing that may still come: no critical path is given.
    pub arriving: bool,
    /// How many spans have a parent that is not in the trace.
    pub missing_parents: usize,
    /// How many spans begin before their parents: clocks that disagree can cause it.
    pub early_children: usize,
}

impl Report {
    /// The report about a trace of which no more spans are expected.
    pub fn of(tree: &Tree) -> Self {
        Self::new(tree, false)
    }

    /// The report about a trace whose missing spans may still come.
    pub fn of_arriving(tree: &Tree) -> Self {
        Self::new(tree, true)
    }

    fn new(tree: &Tree, arriving: bool) -> Self {
        let path = match tree.root {
            Some(root) if !arriving => critical_path(tree, root),
            _ => Path::default(),
        };
        let (critical_path, errors, mut groups) = (path.shares(tree), errors(tree), groups(tree, 2));
        let (sentence, main_group) = match tree.root {
            None => ("This trace has no spans.".to_owned(), None),
            Some(root) => {
                let story = Story::new(tree, root, &path, &critical_path, &groups, &errors);
                (if arriving { story.of_arriving() } else { story.tell() }, story.main_group().cloned())
            }
        };
        groups.retain(|group| group.count >= 3);
        let (missing_parents, early_children) = (tree.missing_parents, tree.early_children);
        let flags = Flags { arriving, missing_parents, early_children };
        let duration_seconds = tree.duration() as f64 / 1e9;
        Self { sentence, duration_seconds, critical_path, groups, errors, flags, path, main_group }
    }
}
