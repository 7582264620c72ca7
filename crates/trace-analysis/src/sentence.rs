//! One to three sentences about a trace: why it failed, what was gained, where the time went, and what else matters.

use crate::critical_path::{Path, Share};
use crate::errors::Failure;
use crate::failure::Failures;
use crate::groups::Group;
use crate::tree::Tree;
use crate::words::{calls, duration, name, number, percent, sentence, spans};

/// Sentences at most.
const MOST: usize = 3;

/// Groups after the largest share at most.
const MOST_GROUPS: usize = 2;

/// All that the sentence speaks about.
pub(crate) struct Story<'a> {
    tree: &'a Tree,
    root: usize,
    shares: &'a [Share],
    /// With two members and more, each with how much of the critical path lies within its members; the most first.
    groups: Vec<(u64, &'a Group)>,
    failures: Failures<'a>,
}

impl<'a> Story<'a> {
    /// `groups` are those with two members and more.
    pub(crate) fn new(
        tree: &'a Tree,
        root: usize,
        path: &Path,
        shares: &'a [Share],
        groups: &'a [Group],
        errors: &'a [Failure],
    ) -> Self {
        let mut lengths = vec![0; tree.spans.len()];
        path.stretches.iter().for_each(|stretch| lengths[stretch.span] = stretch.to - stretch.from);
        let weight = |group: &Group| group.members.iter().map(|&member| lengths[member]).sum::<u64>();
        let mut weighed: Vec<(u64, &Group)> = groups.iter().map(|group| (weight(group), group)).collect();
        weighed.sort_by_key(|&(weight, _)| std::cmp::Reverse(weight));
        Self { tree, root, shares, groups: weighed, failures: Failures::of(tree, root, groups, errors) }
    }

    /// Where the root failed, the cause comes first; a gain comes before the largest share; what did no harm is last.
    pub(crate) fn tell(&self) -> String {
        let batch = self.batch();
        let cause = self.failures.cause();
        let gain = batch.map(gain);
        let share = self.largest_share();
        let begin = match (cause, gain) {
            (Some(cause), Some(gain)) => vec![cause, format!("{gain}; {share}")],
            (cause, gain) => cause.into_iter().chain(gain).chain([share]).collect(),
        };
        let mut end: Vec<String> = self.groups_that_matter(batch).into_iter().collect();
        end.extend(self.flags());
        end.extend(self.failures.without_harm());
        in_sentences(begin, end)
    }

    /// What is said while spans are missing that may still come.
    pub(crate) fn of_arriving(&self) -> String {
        let so_far = match self.tree.spans.len() {
            1 => "one span is here, others are".to_owned(),
            n => format!("{} are here, others are", spans(n)),
        };
        in_sentences(
            vec![format!("this trace is still arriving: {so_far} missing")],
            self.failures.cause().into_iter().collect(),
        )
    }

    /// The group that ran at the same time, gained by it, and took at least half of the time.
    fn batch(&self) -> Option<&'a Group> {
        let half = self.tree.duration().div_ceil(2);
        let batch = |&&(weight, group): &&(u64, &Group)| weight >= half && group.gained() && self.finished(group);
        self.groups.iter().find(batch).map(|&(_, group)| group)
    }

    /// Without the durations that cancelled ones would have had, nothing is known of a gain.
    fn finished(&self, group: &Group) -> bool {
        !group.members.iter().any(|&i| self.tree.cancelled[i])
    }

    /// The batch, or the group with most of the critical path.
    pub(crate) fn main_group(&self) -> Option<&'a Group> {
        self.batch().or_else(|| self.groups.first().map(|&(_, group)| group))
    }

    fn largest_share(&self) -> String {
        let whole = duration(self.tree.duration());
        match self.shares.first() {
            None => format!("{} took no time that its clock shows", crate::words::named(&self.tree.spans[self.root])),
            Some(share) => {
                let has_children = !self.tree.children[share.span].is_empty();
                let own = if has_children { " itself" } else { "" };
                let (what, service) = (name(&share.name), name(&share.service));
                let to = self.destination(share).map(|to| format!(" → {}", name(to))).unwrap_or_default();
                format!("{what}{to} of {service}{own} took {} of the {whole}", percent(share.share))
            }
        }
    }

    /// Where the calls of a share go, if that is one place and no span of its own says so.
    fn destination(&self, share: &Share) -> Option<&'a str> {
        let tree = self.tree;
        let alike = (0..tree.spans.len()).filter(|&i| {
            let span = &tree.spans[i];
            span.name == share.name && span.service == share.service
        });
        let mut destinations = alike.map(|i| tree.spans[i].destination().filter(|_| tree.children[i].is_empty()));
        let first = destinations.next().flatten()?;
        destinations.all(|other| other == Some(first)).then_some(first)
    }

    /// At most two other groups with 5 % of the critical path or more.
    fn groups_that_matter(&self, batch: Option<&Group>) -> Option<String> {
        let told = |group: &Group| batch.is_some_and(|batch| std::ptr::eq(batch, group));
        let least = self.tree.duration().div_ceil(20).max(1);
        let large = |&(weight, group): &(u64, &Group)| weight >= least && group.count >= 3;
        let matters = |of: &&(u64, &Group)| large(of) && !told(of.1) && self.finished(of.1);
        let matter = self.groups.iter().filter(matters).take(MOST_GROUPS);
        let clauses: Vec<String> = matter.map(|&(_, group)| how_it_ran(group)).collect();
        (!clauses.is_empty()).then(|| clauses.join("; "))
    }

    fn flags(&self) -> Vec<String> {
        let tree = self.tree;
        let mut flags = Vec::new();
        match tree.missing_parents {
            0 => {}
            1 if tree.roots.len() == 1 => {
                flags.push(format!("the span that called {} is missing", name(&tree.spans[self.root].name)));
            }
            1 => flags.push("the parent of one span is missing".to_owned()),
            n => flags.push(format!("the parents of {} are missing", spans(n))),
        }
        if tree.early_children > 0 {
            let n = tree.early_children;
            let (begin, parents) = if n == 1 { ("begins", "its parent") } else { ("begin", "their parents") };
            flags.push(format!("{} {begin} before {parents}, so clocks disagree", spans(n)));
        }
        flags
    }
}

/// What running at the same time gained.
fn gain(batch: &Group) -> String {
    let (what, wall, sum) = (calls(batch), duration(batch.wall), duration(batch.sum));
    let width = match batch.peak_concurrency {
        peak if peak < batch.count => format!(", {} at a time,", number(peak)),
        _ => String::new(),
    };
    format!(
        "{what}{width} took {wall}; one after the other they would have taken {sum}: {:.1} times faster",
        batch.speedup()
    )
}

fn how_it_ran(group: &Group) -> String {
    let (what, wall) = (calls(group), duration(group.wall));
    match group.peak_concurrency {
        1 => {
            let (sum, slowest) = (duration(group.sum), duration(group.slowest));
            format!("{what} ran one after the other and took {sum} (together at least {slowest})")
        }
        peak if peak < group.count => format!("{what} ran up to {} at a time and took {wall}", number(peak)),
        _ if group.gained() => {
            format!("{what} ran together and took {wall}, {:.1} times faster than one after the other", group.speedup())
        }
        _ => format!("{what} ran together and took {wall}"),
    }
}

/// Clauses as sentences: each of `begin` is one, those of `end` share what is left.
fn in_sentences(begin: Vec<String>, mut end: Vec<String>) -> String {
    let left = MOST.saturating_sub(begin.len()).max(1);
    if end.len() > left {
        let rest = end.split_off(left - 1);
        end.push(rest.join("; "));
    }
    begin.iter().chain(&end).map(|clause| sentence(clause)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
