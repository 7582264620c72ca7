//! Why a trace failed, was cancelled or was refused, in one clause; and which failures did it no harm.

use std::collections::HashSet;

use crate::errors::Failure;
use crate::groups::Group;
use crate::span::{Kind, Span};
use crate::tree::Tree;
use crate::words::{calls, duration, message, name, named, number, spans, starred, stem};

/// What is known of the failures of a trace.
pub(crate) struct Failures<'a> {
    tree: &'a Tree,
    root: usize,
    groups: &'a [Group],
    /// Those that failed the root, through failed spans only.
    fatal: Vec<&'a Failure>,
    others: Vec<&'a Failure>,
    /// Failed spans above the fatal ones.
    above: usize,
}

impl<'a> Failures<'a> {
    pub(crate) fn of(tree: &'a Tree, root: usize, groups: &'a [Group], errors: &'a [Failure]) -> Self {
        let mut branch = HashSet::new();
        let mut pending: Vec<usize> = [root].into_iter().filter(|&root| tree.spans[root].failed).collect();
        while let Some(i) = pending.pop() {
            branch.insert(i);
            pending.extend(tree.children[i].iter().filter(|&&child| tree.spans[child].failed));
        }
        let (fatal, others): (Vec<_>, Vec<_>) = errors.iter().partition(|failure| branch.contains(&failure.span));
        Self { tree, root, groups, above: branch.len() - fatal.len(), fatal, others }
    }

    /// Why the root failed, or was not finished.
    pub(crate) fn cause(&self) -> Option<String> {
        let root = &self.tree.spans[self.root];
        if let Some(first) = self.fatal.first() {
            return Some(self.failed(first));
        }
        if self.tree.cancelled[self.root] {
            let after = duration(root.duration());
            let others = self.cancelled().map(|others| format!(", and with it {others}")).unwrap_or_default();
            return Some(format!("the client went away after {after}, so {} was cancelled{others}", named(root)));
        }
        let status = self.refused()?;
        let refused = format!("{} refused {} {}", name(&root.service), name(&root.name), refusal(status));
        Some(match self.others.first().map(|first| self.in_words(first.span)) {
            Some(Why::Known(why)) => format!("{why}, so {refused}"),
            _ => refused,
        })
    }

    /// The status with which the root refused its request.
    fn refused(&self) -> Option<&'a str> {
        let root = &self.tree.spans[self.root];
        let status = root.attribute("http.response.status_code")?;
        let refused = status.len() == 3 && status.starts_with('4') && root.kind == Kind::Server;
        (refused && !root.failed && !self.tree.cancelled[self.root]).then_some(status)
    }

    /// What was cancelled below the root: `6 of 10 rolls`, or `three spans`.
    fn cancelled(&self) -> Option<String> {
        let cancelled = |i: usize| self.tree.cancelled[i];
        let below = (0..self.tree.spans.len()).filter(|&i| i != self.root && cancelled(i));
        let deepest = |&i: &usize| !self.tree.children[i].iter().any(|&child| cancelled(child));
        let (count, deepest) = (below.clone().count(), below.filter(deepest).collect::<Vec<_>>());
        let group = self.groups.iter().find(|group| deepest.iter().all(|i| group.members.contains(i)));
        match (group, count) {
            (_, 0) => None,
            (Some(group), _) => Some(format!("{} of {}", deepest.len(), calls(group))),
            (None, count) => Some(spans(count)),
        }
    }

    fn failed(&self, first: &Failure) -> String {
        let alike = |other: &&&Failure| {
            let parent = |failure: &Failure| self.tree.parents[failure.span];
            (&other.service, stem(&other.name), parent(other)) == (&first.service, stem(&first.name), parent(first))
        };
        let alike = self.fatal.iter().filter(alike).count();
        let group = self.groups.iter().find(|group| group.members.contains(&first.span));
        let mut text = match (self.in_words(first.span), group) {
            (Why::Known(why), _) if alike == 1 => why,
            (Why::Known(why), _) => format!("{why} (and {} more the same way)", number(alike - 1)),
            (Why::Says(why), Some(group)) if alike == group.count => {
                with_reason(&format!("all {} failed", calls(group)), &why)
            }
            (Why::Says(why), Some(group)) => with_reason(&format!("{alike} of {} failed", calls(group)), &why),
            (Why::Says(why), None) => with_reason(&format!("{} failed", named(&self.tree.spans[first.span])), &why),
        };
        match self.fatal.len() - alike {
            0 => {}
            more => text += &format!(", and {} failed apart from that", spans(more)),
        }
        match (self.above, self.fatal.len()) {
            (0, _) => {}
            (above, 1) => text += &format!("; {} above it failed because of that", spans(above)),
            (above, _) => text += &format!("; {} above them failed because of that", spans(above)),
        }
        text
    }

    /// Failures that did not fail the root, and what was cancelled below it.
    pub(crate) fn without_harm(&self) -> Option<String> {
        let cancelled = self.cancelled().filter(|_| !self.tree.cancelled[self.root]);
        let were = |what: &str| if what.starts_with("one ") || what.starts_with("1 ") { "was" } else { "were" };
        let cancelled = cancelled.map(|what| format!("{what} {} cancelled, as nobody waited any more", were(&what)));
        let clauses: Vec<String> = self.other_failures().into_iter().chain(cancelled).collect();
        (!clauses.is_empty()).then(|| clauses.join("; "))
    }

    fn other_failures(&self) -> Option<String> {
        // The cause of a refusal has been told.
        let first = self.others.first().filter(|_| self.refused().is_none())?;
        let root_did_well = self.fatal.is_empty() && !self.tree.cancelled[self.root];
        let (one, many) = match root_did_well {
            true => ("one failure was handled", "failures were handled"),
            false => ("one other span failed", "other spans failed"),
        };
        let same = |other: &&Failure| (&other.service, stem(&other.name)) == (&first.service, stem(&first.name));
        let group =
            self.groups.iter().find(|group| self.others.iter().all(|other| group.members.contains(&other.span)));
        Some(match (self.others.len(), group, self.in_words(first.span)) {
            (n, Some(group), why) if n > 1 => {
                let failed =
                    format!("{n} of {} failed{}", calls(group), if root_did_well { ", which was handled" } else { "" });
                with_reason(&failed, &why.into_text())
            }
            (1, _, Why::Known(why)) => format!("{one}: {why}"),
            (1, _, Why::Says(why)) => with_reason(&format!("{one}: {}", named(&self.tree.spans[first.span])), &why),
            (n, _, _) if self.others.iter().all(same) => {
                format!("{} {many}: {n} × {} of {}", number(n), name(&starred(&first.name)), name(&first.service))
            }
            (n, ..) => format!("{} {many}, the first in {}", number(n), named(&self.tree.spans[first.span])),
        })
    }

    /// Why this span failed.
    fn in_words(&self, i: usize) -> Why {
        let span = &self.tree.spans[i];
        if let (Some("open"), Some(target)) =
            (span.attribute("circuit_breaker.state"), span.attribute("circuit_breaker.target"))
        {
            let target = name(target);
            return Why::Known(format!(
                "the circuit breaker of {target} was open, so {} did not call it",
                name(&span.service)
            ));
        }
        let kinds = [span.attribute("error.type"), span.attribute("exception.type"), Some(&span.message)];
        let kinds = kinds.into_iter().flatten().collect::<Vec<_>>().join(" ").to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| kinds.contains(word));
        let status = span.attribute("http.response.status_code");
        let callee = (span.kind == Kind::Client).then(|| self.callee(i)).flatten();
        if span.attribute("error.type") == Some("panic") {
            return Why::Known(format!("{} panicked", named(span)));
        }
        match (callee, status) {
            (Some(callee), Some("429")) => {
                Why::Known(format!("{callee} refused {} {}", name(&span.service), refusal("429")))
            }
            (Some(callee), Some(status)) if status.starts_with(['4', '5']) => {
                Why::Known(format!("{callee} answered {} with {status}", name(&span.service)))
            }
            (Some(callee), None) if says(&["timeout", "timed out", "deadline exceeded", "no response within"]) => {
                Why::Known(format!("{callee} did not answer within {}", limit(span)))
            }
            (Some(callee), None) if says(&["too_long", "too long", "toolarge", "too large"]) => {
                Why::Known(format!("the response of {callee} was cut by a limit: {}", message(&span.message)))
            }
            (Some(callee), None) if says(&["connect"]) => {
                Why::Known(with_reason(&format!("{callee} could not be reached"), &message(&span.message)))
            }
            (None, None) if span.kind == Kind::Client && says(&["timeout", "timed out", "deadline exceeded"]) => {
                Why::Known(format!("{} timed out after {}", named(span), limit(span)))
            }
            _ => Why::Says(reason(span)),
        }
    }

    /// Whom a CLIENT span calls: the service of its child, or what its attributes say, or the caller's own words about
    /// the failure, or the address.
    fn callee(&self, i: usize) -> Option<String> {
        let (tree, span) = (self.tree, &self.tree.spans[i]);
        let child = tree.children[i].first().map(|&child| tree.spans[child].service.as_str());
        let said = || tree.parents[i].and_then(|parent| upstream(&tree.spans[parent].message, &span.message));
        let address = || {
            let host = span.attribute("server.address")?;
            Some(span.attribute("server.port").map_or(host.to_owned(), |port| format!("{host}:{port}")))
        };
        let named = child.or_else(|| span.attribute("service.peer.name")).or_else(|| span.attribute("peer.service"));
        named.or_else(said).map(str::to_owned).or_else(address).map(|callee| name(&callee))
    }
}

enum Why {
    /// A whole clause.
    Known(String),
    /// The span's own words; may be empty.
    Says(String),
}

impl Why {
    fn into_text(self) -> String {
        match self {
            Why::Known(text) | Why::Says(text) => text,
        }
    }
}

/// The span's own words about its failure.
fn reason(span: &Span) -> String {
    let exception = span.attribute("exception.message").or_else(|| span.attribute("exception.type"));
    let own = Some(span.message.as_str()).filter(|text| !text.trim().is_empty());
    message(own.or(exception).or_else(|| span.attribute("error.type")).unwrap_or_default())
}

fn with_reason(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

fn refusal(status: &str) -> String {
    match status {
        "429" => "because a limit was reached (429)".to_owned(),
        status => format!("with {status}"),
    }
}

/// How long a call waited, as one sets limits: `2 s`, not `2.0 s`.
fn limit(span: &Span) -> String {
    duration(span.duration()).replace(".0 ", " ")
}

/// The upstream that the caller's description of the failure begins with: `x` in "x did not answer within 2 s", and in
/// "x: " before the call's own description.
fn upstream<'a>(caller: &'a str, call: &str) -> Option<&'a str> {
    let (first, rest) = caller.split_once([' ', ':'])?;
    let rest = rest.trim_start();
    let says_so = rest.starts_with("did not ") || rest.starts_with("cannot be reached");
    let wraps = !call.is_empty() && rest == call && caller[first.len()..].starts_with(": ");
    let is_name = first.starts_with(|c: char| c.is_ascii_alphabetic()) && first.len() <= 60;
    (is_name && (says_so || wraps)).then_some(first)
}
