use std::collections::HashMap;

use reqwest::StatusCode;

use crate::{Random, Reply, Request, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let orders = random.names(4..=7);
    let of_order = orders.iter().map(|order| (order.clone(), [200, 202, 404, 409, 503][random.number(0..=4) as usize]));
    let mut statuses: HashMap<_, _> = of_order.collect();
    // One at least is none that a program can write down.
    statuses.insert(orders[0].clone(), 410);
    let delay = random.milliseconds(60..=120);
    Setup::new().variable("ORDERS", orders.join(",")).upstream(move |request| {
        let status = statuses.get(request.last()).copied().unwrap_or(404);
        Reply::text("").status(status).after(delay)
    })
}

/// What the program has to say about this delivery.
fn message(request: &Request) -> String {
    let status = StatusCode::from_u16(request.status).unwrap_or_default();
    format!("{}: {status}", request.last())
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let orders = run.list("ORDERS");
    steps.step(
        "each-order-once",
        &["Each order of ORDERS has to be delivered, once, with a span `deliver` below `tour`."],
        |trace| {
            let mut wanted = orders.clone();
            let mut delivered: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
            wanted.sort_unstable();
            delivered.sort_unstable();
            let found = format!("{delivered:?}");
            trace.state("each_order_once", delivered == wanted, &format!("requests for {wanted:?}"), &found);
            trace.span("tour").exactly_once().children("deliver").count(orders.len());
            for order in &orders {
                trace.span("deliver").with("order", *order).exactly_once();
            }
        },
    );
    steps.step(
        "lasts-as-long",
        &["A request was in progress while its span was not: the span has to last as long as the delivery."],
        |trace| {
            run.each_request_inside_its(trace, |request| trace.span("deliver").with("order", request.last()));
        },
    );
    steps.step("form-of-the-ids", &["A line of JSON has no `trace_id` of 32 hex digits, or no `span_id` of 16: the trace id alone leads to a trace, but not to a place in it."], |trace| {
        for line in run.output.stdout.lines().filter(|line| line.starts_with('{')) {
            let ids: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let has = |name: &str, digits: usize| ids[name].as_str().is_some_and(|id| is_hex(id, digits));
            let holds = has("trace_id", 32) && has("span_id", 16);
            trace.state("form_of_the_ids", holds, "trace_id and span_id in hex digits", line);
        }
    });
    steps.step("not-of-the-tour", &["The lines have the ids of the span `tour`: a reader comes to the right trace, and has to guess which delivery it was."], |trace| {
        trace.span("tour").logged("*", 0);
    });
    steps.step(
        "line-of-each-delivery",
        &[
            "The span of a delivery has no log line with its ids. Which span is current in the task that looks them up?",
            "The writer is a task of its own: no span is current there, so the ids are zeros. Only the delivery knows its span.",
            "Call `ids()` in `deliver`, inside of `call`, and send the ids over the channel with the message: `log.send((ids(), message))`.",
        ],
        |trace| {
            trace.span("deliver").logged("*", 1);
        },
    );
    steps.step("says-what-happened", &["A span has a log line, but not the one that its delivery wrote: the message says the order and the status of the response."], |trace| {
        for request in run.requests() {
            trace.span("deliver").with("order", request.last()).logged(&message(request), 1);
        }
    });
}

fn is_hex(id: &str, digits: usize) -> bool {
    id.len() == digits && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
