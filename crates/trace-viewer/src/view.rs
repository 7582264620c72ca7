//! What the pages draw, as JSON: the list of recent traces, a waterfall, and one span in detail.
//!
//! Times are nanoseconds after the start of the trace, so that they are exact in JavaScript.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::analysis::Analysis;
use crate::attributes::{object, plain};
use crate::ids::SpanId;
use crate::sentence;
use crate::span::{LogRecord, StoredSpan};
use crate::trace::Trace;
use crate::traceql;
use crate::tree::Tree;

/// When nothing has arrived for a trace in this time, nothing more is expected: exporters send every few seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(15);

/// Bars in the small picture of a trace in the list.
const MOST_BARS: usize = 40;

/// Rows of a waterfall; a browser takes long to draw more.
const MOST_ROWS: usize = 10_000;

/// Events and log records marked on a bar; the details list them all.
const MOST_MARKS: usize = 40;

/// A trace for the list.
pub(crate) fn summary(trace: &Trace) -> Value {
    let start = trace.start();
    let mut spans: Vec<&Arc<StoredSpan>> = trace.spans.values().collect();
    spans.sort_by_key(|span| (span.start(), std::cmp::Reverse(span.end())));
    let mut seen = HashSet::new();
    let services = spans.iter().map(|span| span.service()).filter(|service| seen.insert(*service));
    let services: Vec<&str> = services.collect();
    let bar = |span: &&Arc<StoredSpan>| {
        json!([span.start() - start, span.end() - span.start(), span.service(), span.failed()])
    };
    json!({
        "id": trace.id.to_string(),
        "root": trace.root().map(|root| json!({"name": root.name(), "service": root.service()})),
        "start": start / 1_000_000,
        "duration": trace.duration(),
        "spans": spans.len(),
        "errors": spans.iter().filter(|span| span.failed()).count(),
        "services": services,
        "bars": spans.iter().take(MOST_BARS).map(bar).collect::<Value>(),
    })
}

/// A trace as a waterfall: figures, sentence, and a row for each span; without them if nothing changed after revision
/// `since`.
pub(crate) fn waterfall(trace: &Trace, since: u64) -> Value {
    let settled = trace.updated.elapsed() > SETTLED_AFTER;
    if trace.revision <= since {
        return json!({"known": true, "revision": trace.revision, "settled": settled});
    }
    let tree = Tree::of(trace);
    let analysis = Analysis::of(&tree);
    let spans: Vec<&Arc<StoredSpan>> = trace.spans.values().collect();
    let start = trace.start();
    let mut critical = BTreeMap::<usize, Vec<[u64; 2]>>::new();
    for segment in &analysis.path {
        critical.entry(segment.node).or_default().push([segment.from - start, segment.to - start]);
    }
    let mut logged = BTreeMap::<SpanId, Vec<u64>>::new();
    for line in &trace.logs {
        if let Some(id) = line.span {
            logged.entry(id).or_default().push(line.time);
        }
    }
    let row = |&(i, depth): &(usize, usize)| {
        let stored = spans[i];
        let happened = stored.events().iter().map(|event| event.time);
        let happened = happened.chain(logged.get(&stored.id).into_iter().flatten().copied());
        let within = happened.filter(|at| (stored.start()..=stored.end()).contains(at));
        let marks: BTreeSet<u64> = within.map(|at| at - start).take(MOST_MARKS).collect();
        json!({
            "id": stored.id.to_string(),
            "depth": depth,
            "name": stored.name(),
            "service": stored.service(),
            "kind": traceql::kind(stored),
            "start": stored.start() - start,
            "duration": stored.end() - stored.start(),
            "failed": stored.failed(),
            "cancelled": tree.nodes[i].cancelled,
            "marks": marks,
            "critical": critical.get(&i),
        })
    };
    let siblings = analysis.siblings.as_ref().map(|siblings| {
        json!({
            "what": sentence::calls(siblings),
            "wall": siblings.wall,
            "sum": siblings.sum,
            "speedup": siblings.speedup(),
            "peak": siblings.peak,
            "steps": siblings.steps.iter().map(|(at, active)| json!([at - start, active])).collect::<Value>(),
        })
    });
    json!({
        "known": true,
        "revision": trace.revision,
        "complete": tree.is_complete(),
        "settled": settled,
        "has_root": tree.has_root,
        "refused": trace.refused,
        "verdict": sentence::verdict(&tree, &analysis),
        "siblings": siblings,
        "trace": summary(trace),
        "rows": tree.order.iter().take(MOST_ROWS).map(row).collect::<Value>(),
    })
}

/// All that is stored of one span.
pub(crate) fn details(trace: &Trace, span: &StoredSpan) -> Value {
    let start = trace.start();
    let since = |nanos: u64| (i128::from(nanos) - i128::from(start)) as f64;
    let events = span.events().iter().map(
        |event| json!({"at": since(event.time), "name": event.name.as_str(), "attributes": object(&event.attributes)}),
    );
    let links = span.links().iter().map(
        |link| json!({"trace": hex(&link.trace), "span": hex(&link.span), "attributes": object(&link.attributes)}),
    );
    let mut logs: Vec<&Arc<LogRecord>> = trace.logs.iter().filter(|line| line.span == Some(span.id)).collect();
    logs.sort_by_key(|line| line.time);
    let logs = logs.into_iter().map(|line| {
        json!({
            "at": since(line.time),
            "level": line.level(),
            "message": plain(&line.body),
            "attributes": object(&line.attributes),
        })
    });
    let scope = span.scope();
    json!({
        "id": span.id.to_string(),
        "parent": span.parent().map(|parent| parent.to_string()),
        "status": traceql::status(span),
        "message": Some(span.status_message()).filter(|message| !message.is_empty()),
        "attributes": object(span.attributes()),
        "events": events.collect::<Value>(),
        "logs": logs.collect::<Value>(),
        "links": links.collect::<Value>(),
        "resource": object(span.resource_attributes()),
        "scope": format!("{} {}", scope.name, scope.version).trim(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
