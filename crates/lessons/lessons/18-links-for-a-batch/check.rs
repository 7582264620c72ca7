use std::collections::HashSet;

use trace_check::Trace;

use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let batches = random.number(2..=3);
    let orders = random.names(3 * batches..=3 * batches);
    let delay = random.milliseconds(100..=180);
    Setup::new().variable("ORDERS", orders.join(",")).upstream(move |_| Reply::text("on its way").after(delay))
}

/// A trace id and a span id.
type Ids = (String, String);

/// The ids of the spans of some orders.
fn orders(trace: &Trace, names: &[&str]) -> HashSet<Ids> {
    let spans = trace.tree().spans.iter().enumerate().filter(|(i, span)| {
        let order = trace.details(*i).attributes.get("order").and_then(|order| order.as_str());
        span.name == "order" && order.is_some_and(|order| names.contains(&order))
    });
    spans.map(|(i, span)| (trace.details(i).trace_id.clone(), span.id.to_string())).collect()
}

/// What each span `batch` links to.
fn links(trace: &Trace) -> Vec<HashSet<Ids>> {
    let batches = trace.tree().spans.iter().enumerate().filter(|(_, span)| span.name == "batch");
    let links = |i: usize| {
        let links = trace.details(i).links.iter();
        links.map(|link| (link.trace_id.clone(), link.span.to_string())).collect()
    };
    batches.map(|(i, _)| links(i)).collect()
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let all = run.list("ORDERS");
    steps.step("batches-of-three", &["Each order of ORDERS has to be sent once, in batches of three."], |trace| {
        let mut wanted = all.clone();
        let mut sent: Vec<_> = run.requests().iter().flat_map(|request| request.body.split(',')).collect();
        wanted.sort_unstable();
        sent.sort_unstable();
        trace.state("each_order_once", sent == wanted, &format!("requests with {wanted:?}"), &format!("{sent:?}"));
        let holds = run.requests().len() * 3 == all.len();
        let expected = format!("{} requests", all.len() / 3);
        trace.state("batches_of_three", holds, &expected, &run.requests().len().to_string());
    });
    steps.step(
        "spans",
        &["Each order needs its span `order`, without a parent and with the attribute `order`, and each request to the courier one span `batch`."],
        |trace| {
            trace.span("order").count(all.len()).root();
            for order in &all {
                trace.span("order").with("order", *order).exactly_once();
            }
            trace.span("batch").count(run.requests().len());
            run.each_request_inside(trace, &trace.span("batch"));
        },
    );
    steps.step(
        "batch-has-no-parent",
        &[
            "The `batch` is in the trace of one order, the one that came last. The others in it have nothing that shows what they waited for.",
            "`info_span!` takes the current span as the parent. With `parent: None` as its first argument it takes none.",
        ],
        |trace| {
            trace.span("batch").root();
        },
    );
    steps.step(
        "links-to-its-orders",
        &[
            "A `batch` does not link to the orders of its request, or not to all of them: there is no way from the batch to them, nor back.",
            "The batch needs the span context of each order. Keep it in the list: `Span::current()` in `take` is the span of the order.",
            "`span.add_link(waiting.span.context().span().span_context().clone())` for each order of the batch, or `span.follows_from(&waiting.span)`.",
        ],
        |trace| {
            let links = links(trace);
            for request in run.requests() {
                let wanted = orders(trace, &request.body.split(',').collect::<Vec<_>>());
                let holds = links.iter().any(|links| links.is_superset(&wanted));
                let counts: Vec<_> = links.iter().map(HashSet::len).collect();
                let expected = format!("a batch with a link to each of {}", request.body);
                trace.state("links_to_its_orders", holds, &expected, &format!("batches with {counts:?} links"));
            }
        },
    );
    steps.step("no-other-links", &["A `batch` links to orders that were not in its request."], |trace| {
        let links = links(trace);
        for request in run.requests() {
            let wanted = orders(trace, &request.body.split(',').collect::<Vec<_>>());
            let holds = links.contains(&wanted);
            let counts: Vec<_> = links.iter().map(HashSet::len).collect();
            let expected = format!("a batch with links to {} only", request.body);
            trace.state("no_other_links", holds, &expected, &format!("batches with {counts:?} links"));
        }
    });
}
