//! Finds spans within one trace by a part of any text that the page shows of them: names, ids, attributes, events, log
//! lines.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::analysis::tree;
use crate::attributes::{self, Attribute};
use crate::ids::SpanId;
use crate::span::{LogRecord, StoredSpan};
use crate::trace::Trace;
use crate::traceql::{self, Deadline, TimedOut};
use crate::view::callee;

/// Spans in one response, which says how many more there are.
const MOST_FOUND: usize = 2_000;

/// Characters of the text in which something was found: those before it, and all.
const BEFORE: usize = 30;
const ALL: usize = 100;

/// The spans in the sequence of the waterfall that have `text` somewhere, in upper or lower case; where it is not in the
/// name, with the text that has it.
pub(crate) fn find(trace: &Trace, text: &str, deadline: &Deadline) -> Result<Value, TimedOut> {
    let part = text.to_lowercase();
    let mut logs = HashMap::<SpanId, Vec<&LogRecord>>::new();
    for line in &trace.logs {
        if let Some(id) = line.span {
            logs.entry(id).or_default().push(line);
        }
    }
    let tree = tree(trace);
    let spans: Vec<_> = trace.spans.values().collect();
    let (mut found, mut count) = (Vec::new(), 0);
    for &(i, _) in &tree.order {
        deadline.check_now()?;
        let span = spans[i];
        let to = callee(span, tree.children[i].iter().map(|&child| spans[child]));
        let names = [span.name(), span.service(), traceql::kind(span), to.unwrap_or_default(), &span.id.to_string()];
        let place = if contains(&names.join(" "), &part) {
            Value::Null
        } else if let Some(place) = elsewhere(span, logs.get(&span.id), &part, deadline)? {
            place.into()
        } else {
            continue;
        };
        count += 1;
        if found.len() < MOST_FOUND {
            found.push(json!({"id": span.id.to_string(), "in": place}));
        }
    }
    Ok(json!({"count": count, "spans": found}))
}

/// The text, other than the names, that has the part.
fn elsewhere(
    span: &StoredSpan,
    logs: Option<&Vec<&LogRecord>>,
    part: &str,
    deadline: &Deadline,
) -> Result<Option<String>, TimedOut> {
    let own = [span.status_message().to_owned()].into_iter().chain(pairs(span.attributes()));
    let events = span.events().iter();
    let events = events.flat_map(|event| [event.name.to_string()].into_iter().chain(pairs(&event.attributes)));
    let lines = logs.into_iter().flatten();
    let names = |line: &LogRecord| [line.event_name.to_string(), attributes::text(&line.body).into_owned()];
    let lines = lines.flat_map(|line| names(line).into_iter().chain(pairs(&line.attributes)));
    for text in own.chain(events).chain(lines).chain(pairs(span.resource_attributes())) {
        deadline.check()?;
        if contains(&text, part) {
            return Ok(Some(excerpt(&text, part)));
        }
    }
    Ok(None)
}

fn pairs(attributes: &[Attribute]) -> impl Iterator<Item = String> {
    attributes.iter().map(|pair| format!("{} = {}", pair.key, attributes::text(&pair.value)))
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(part)
}

/// What is around the part in a long text.
fn excerpt(text: &str, part: &str) -> String {
    let lower = text.to_lowercase();
    let before = lower.find(part).map_or(0, |at| lower[..at].chars().count());
    let skipped = before.saturating_sub(BEFORE);
    let shown: String = text.chars().skip(skipped).take(ALL).collect();
    let end = if text.chars().nth(skipped + ALL).is_some() { "…" } else { "" };
    format!("{}{shown}{end}", if skipped > 0 { "…" } else { "" })
}
