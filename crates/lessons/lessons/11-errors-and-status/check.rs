use std::collections::HashMap;

use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let mut items = random.names(5..=8);
    let failures = [500, 502, 503, 504];
    let mut statuses: Vec<u16> = vec![200, 404, failures[random.number(0..=3) as usize]];
    while statuses.len() < items.len() {
        statuses.push([200, 404, failures[random.number(0..=3) as usize]][random.number(0..=2) as usize]);
    }
    let of_item: HashMap<_, _> = items.iter().cloned().zip(statuses).collect();
    let first = random.number(0..=4) as usize;
    items.rotate_left(first);
    let delay = random.milliseconds(20..=40);
    Setup::new().variable("ITEMS", items.join(",")).upstream(move |request| {
        let status = of_item.get(request.last()).copied().unwrap_or(404);
        Reply::text("stock").status(status).after(delay)
    })
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let items = run.list("ITEMS");
    let failures = || run.requests().iter().filter(|request| request.status >= 500);
    steps.step("each-item-once", &["Each item of ITEMS has to be looked up, once, with a span `look_up`."], |trace| {
        let mut wanted = items.clone();
        let mut looked_up: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
        wanted.sort_unstable();
        looked_up.sort_unstable();
        let found = format!("{looked_up:?}");
        trace.state("each_item_once", looked_up == wanted, &format!("requests for {wanted:?}"), &found);
        for item in &items {
            trace.span("look_up").with("item", *item).exactly_once();
        }
    });
    steps.step(
        "lasts-as-long",
        &["A request was in progress while its span was not: the span has to last as long as the lookup."],
        |trace| {
            run.each_request_inside_its(trace, |request| trace.span("look_up").with("item", request.last()));
        },
    );
    steps.step(
        "failures-are-errors",
        &[
            "The warehouse failed, and the span of that lookup does not say so. Was the field of `record` declared when the span was made?",
            "`record` fills a field that `info_span!` has declared, such as `otel.status_code = Empty`. It ignores every other field, without a warning.",
            "Or set it without a field: `Span::current().set_status(Status::error(…))` of `tracing_opentelemetry::OpenTelemetrySpanExt`.",
        ],
        |trace| {
            for request in failures() {
                trace.span("look_up").with("item", request.last()).failed();
            }
        },
    );
    steps.step(
        "description",
        &["An error without a description says that something failed, but not what. Name the HTTP status in it."],
        |trace| {
            for request in failures() {
                trace.span("look_up").with("item", request.last()).failed_with(&format!("*{}*", request.status));
            }
        },
    );
    steps.step(
        "not-found-is-no-error",
        &[
            "A lookup has the status Error though the warehouse did its work: it said that it does not sell the item.",
            "`error_for_status` makes an error of every 4xx and 5xx. What does this program expect?",
            "`error.status() == Some(StatusCode::NOT_FOUND)` is the normal case that is no failure.",
        ],
        |trace| {
            for request in run.requests().iter().filter(|request| request.status < 500) {
                trace.span("look_up").with("item", request.last()).not_failed();
            }
        },
    );
}
