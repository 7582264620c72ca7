//! What the page of a trace draws, as JSON: a waterfall, and one span in detail.
//!
//! Times are nanoseconds after the start of the trace, so that they are exact in JavaScript.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::analysis::{report, settled, tree};
use crate::attributes::{self, Attribute, Plain};
use crate::ids::{SpanId, TraceId, hex};
use crate::list::summary;
use crate::map;
use crate::query::QueryError;
use crate::sending::Text;
use crate::short::short;
use crate::span::{LogRecord, StoredSpan};
use crate::trace::Trace;
use crate::traceql::{self, Deadline};

/// Rows of a waterfall in one response; the page shows one such part at a time.
const MOST_ROWS: usize = 10_000;

/// Events, links, log records and attributes in the details of a span; the page says how many more there are.
const MOST_LISTED: usize = 100;

/// Characters of one value in the details.
const MOST_CHARACTERS: usize = 5_000;

/// Events and log records marked on a bar; the details list them.
const MOST_MARKS: usize = 40;

/// Which rows of a waterfall are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// The first row.
    pub(crate) from: usize,
    /// Instead of it, a span that is among them.
    pub(crate) with: Option<SpanId>,
}

/// Shares, groups and errors of a report; the page shows fewer.
const MOST_REPORTED: usize = 100;

/// Bytes of an id in the details.
const LONGEST_ID: usize = 32;

/// Characters of all values in the details together.
const MOST_IN_DETAILS: usize = 1 << 20;

/// A row of the waterfall. A trace has thousands: fields that hold their default are left out.
#[derive(Serialize)]
struct Row<'a> {
    id: String,
    depth: usize,
    name: Cow<'a, str>,
    service: Cow<'a, str>,
    kind: &'static str,
    start: u64,
    duration: u64,
    #[serde(skip_serializing_if = "is_default")]
    failed: bool,
    #[serde(skip_serializing_if = "is_default")]
    cancelled: bool,
    /// Where a call goes.
    #[serde(skip_serializing_if = "is_default")]
    to: Option<Cow<'a, str>>,
    /// Its parent did not arrive.
    #[serde(skip_serializing_if = "is_default")]
    orphan: bool,
    /// So many nanoseconds before its parent.
    #[serde(skip_serializing_if = "is_default")]
    before: u64,
    /// When events and log records happened.
    #[serde(skip_serializing_if = "is_default")]
    marks: BTreeSet<u64>,
    /// Its parts of the critical path.
    #[serde(skip_serializing_if = "is_default")]
    critical: Option<&'a Vec<[u64; 2]>>,
}

/// The group of calls that the page draws above the rows.
#[derive(Serialize)]
struct Siblings {
    what: String,
    wall: u64,
    sum: u64,
    speedup: f64,
    peak: usize,
    /// When how many are in progress: two for each span, which as [`Value`]s would take a kilobyte for each.
    steps: Vec<(u64, usize)>,
}

/// What a waterfall has beside its rows.
#[derive(Serialize)]
struct Object {
    #[serde(flatten)]
    object: Value,
    siblings: Option<Siblings>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Writes a trace as a waterfall: what `dice show --json` prints of it, with the sentence as `verdict`, and a row for each
/// span; without them if nothing changed after revision `since`.
///
/// # Errors
/// It takes too long, or there is no memory for it.
pub(crate) fn waterfall(
    trace: &Trace,
    since: u64,
    part: Part,
    previous: Option<TraceId>,
    deadline: &Deadline,
    out: &mut Text,
) -> Result<(), QueryError> {
    let settled = settled(trace);
    if trace.revision <= since {
        return Ok(out.json(&json!({"known": true, "revision": trace.revision, "settled": settled}))?);
    }
    deadline.check_now()?;
    let tree = tree(trace);
    deadline.check_now()?;
    let report = report(trace, &tree);
    deadline.check_now()?;
    let spans: Vec<&Arc<StoredSpan>> = trace.spans.values().collect();
    let start = trace.start();
    let mut critical = BTreeMap::<usize, Vec<[u64; 2]>>::new();
    for segment in &report.path.segments {
        critical.entry(segment.span).or_default().push([segment.from - start, segment.to - start]);
    }
    let mut logged = BTreeMap::<SpanId, Vec<u64>>::new();
    for line in &trace.logs {
        if let Some(id) = line.span {
            logged.entry(id).or_default().push(line.time);
        }
    }
    let row = |&(i, depth): &(usize, usize)| {
        let stored = spans[i];
        let before = tree.parents[i].map_or(0, |parent| spans[parent].start().saturating_sub(stored.start()));
        let happened = stored.events().iter().map(|event| event.time);
        let happened = happened.chain(logged.get(&stored.id).into_iter().flatten().copied());
        let within = happened.filter(|at| (stored.start()..=stored.end()).contains(at));
        let marks: BTreeSet<u64> = within.map(|at| at - start).take(MOST_MARKS).collect();
        Row {
            id: stored.id.to_string(),
            depth,
            name: short(stored.name()),
            service: short(stored.service()),
            kind: traceql::kind(stored),
            start: stored.start() - start,
            duration: stored.end() - stored.start(),
            failed: stored.failed(),
            cancelled: tree.cancelled[i],
            to: callee(stored, tree.children[i].iter().map(|&child| spans[child])).map(short),
            orphan: tree.parents[i].is_none() && stored.parent().is_some(),
            before,
            marks,
            critical: critical.get(&i),
        }
    };
    let siblings = report.main_group.as_ref().map(|group| Siblings {
        what: trace_analysis::calls(group),
        wall: group.wall,
        sum: group.sum,
        speedup: group.speedup(),
        peak: group.peak_concurrency,
        steps: trace_analysis::steps(&tree, &group.members)
            .into_iter()
            .map(|(at, active)| (at - start, active))
            .collect(),
    });
    let place = part.with.and_then(|id| tree.order.iter().position(|&(i, _)| spans[i].id == id));
    let from = place.unwrap_or(part.from.min(tree.order.len().saturating_sub(1))) / MOST_ROWS * MOST_ROWS;
    let object = json!({
        "known": true,
        "revision": trace.revision,
        "complete": tree.is_complete(),
        "settled": settled,
        "arriving": report.flags.arriving,
        "has_root": tree.has_root,
        "orphans": tree.missing_parents,
        "refused": trace.refused,
        "verdict": report.sentence,
        "critical_path": first(&report.critical_path),
        "groups": first(&report.groups),
        "errors": first(&report.errors),
        "flags": report.flags,
        "trace": summary(trace),
        "from": from,
        "previous": previous.map(|id| id.to_string()),
    });
    let object = Object { object, siblings };
    let rows = tree.order.iter().skip(from).take(MOST_ROWS);
    Ok(out.object_with_list(&object, "rows", rows.map(row))?)
}

fn first<T>(list: &[T]) -> &[T] {
    &list[..list.len().min(MOST_REPORTED)]
}

/// Where a call goes: the service of the span below it, or what its attributes say.
pub(crate) fn callee<'a>(
    span: &'a StoredSpan,
    mut children: impl Iterator<Item = &'a Arc<StoredSpan>>,
) -> Option<&'a str> {
    let below = children.find(|child| child.service() != span.service());
    map::is_call(span).then(|| below.map(|child| child.service()).or_else(|| map::address(span))).flatten()
}

/// What is stored of one span, as much as a page can show.
pub(crate) fn details(trace: &Trace, span: &StoredSpan) -> Value {
    let (start, left) = (trace.start(), Cell::new(MOST_IN_DETAILS));
    let text = |text: &str| cut(text, &left).unwrap_or_else(|| text.to_owned());
    let (plain, pairs) = (|value| plain(value, &left), |attributes| pairs(attributes, &left));
    // As sent, which may be no valid id.
    let id = |bytes: &[u8]| hex(&bytes[..bytes.len().min(LONGEST_ID)]);
    let since = |nanos: u64| (i128::from(nanos) - i128::from(start)) as f64;
    let events = span.events().iter().take(MOST_LISTED).map(
        |event| json!({"at": since(event.time), "name": text(&event.name), "attributes": pairs(&event.attributes)}),
    );
    let links =
        span.links().iter().take(MOST_LISTED).map(
            |link| json!({"trace": id(&link.trace), "span": id(&link.span), "attributes": pairs(&link.attributes)}),
        );
    let mut logs: Vec<&Arc<LogRecord>> = trace.logs.iter().filter(|line| line.span == Some(span.id)).collect();
    logs.sort_by_key(|line| line.time);
    let more = |all: usize| all.saturating_sub(MOST_LISTED);
    let more_logs = more(logs.len());
    let logs = logs.into_iter().take(MOST_LISTED).map(|line| {
        json!({
            "at": since(line.time),
            "level": short(&line.level()),
            "message": plain(&line.body),
            "event": short(&line.event_name),
            "attributes": pairs(&line.attributes),
        })
    });
    let scope = span.scope();
    let mut below = trace.spans.values().filter(|other| map::is_call(span) && other.parent() == Some(span.id));
    // With more than one, the difference would not be the network.
    let callee = below.next().filter(|_| below.next().is_none()).map(|callee| callee.end() - callee.start());
    json!({
        "id": span.id.to_string(),
        "parent": span.parent().map(|parent| parent.to_string()),
        "status": traceql::status(span),
        "message": Some(text(span.status_message())).filter(|message| !message.is_empty()),
        "callee": callee,
        "attributes": pairs(span.attributes()),
        "events": events.collect::<Value>(),
        "logs": logs.collect::<Value>(),
        "links": links.collect::<Value>(),
        "more": {"events": more(span.events().len()), "links": more(span.links().len()), "logs": more_logs},
        "resource": pairs(span.resource_attributes()),
        "scope": format!("{} {}", short(&scope.name), short(&scope.version)).trim(),
    })
}

/// Attributes as a JSON object: the first ones, and how many more there are.
fn pairs(attributes: &[Attribute], left: &Cell<usize>) -> Value {
    let shown = &attributes[..attributes.len().min(MOST_LISTED)];
    let pair = |pair: &Attribute| (short(&pair.key).into_owned(), plain(&pair.value, left));
    let mut object: Map<String, Value> = shown.iter().map(pair).collect();
    if attributes.len() > shown.len() {
        object.insert("…".to_owned(), format!("{} more attributes", attributes.len() - shown.len()).into());
    }
    Value::Object(object)
}

/// A value; of one that is too long, the beginning of its text.
fn plain(value: &attributes::Value, left: &Cell<usize>) -> Value {
    let text = attributes::text(value);
    match (cut(&text, left), value) {
        (Some(beginning), _) => beginning.into(),
        (None, attributes::Value::Text(_)) => text.into(),
        (None, value) => json!(Plain(value)),
    }
}

/// The beginning of a text that is too long for the page, or for what is `left` for others.
fn cut(text: &str, left: &Cell<usize>) -> Option<String> {
    let most = MOST_CHARACTERS.min(left.get());
    left.set(left.get() - text.len().min(most));
    let (at, _) = text.char_indices().nth(most)?;
    Some(format!("{} … and {} more bytes", &text[..at], text.len() - at))
}
