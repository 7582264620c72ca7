use std::collections::HashMap;

use crate::{Random, Reply, Request, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let items = random.names(3..=5);
    let mut of_item = HashMap::new();
    for item in &items {
        let faster = ["left", "right"][random.number(0..=1) as usize];
        of_item.insert(item.clone(), (faster, random.number(3..=90)));
    }
    let (short, long) = (random.milliseconds(100..=160), random.milliseconds(3500..=4500));
    Setup::new().variable("ITEMS", items.join(",")).upstream(move |request| {
        let (faster, price) = of_item.get(request.last()).copied().unwrap_or_default();
        let is_faster = request.path.starts_with(&format!("/{faster}/"));
        Reply::text(price.to_string()).after(if is_faster { short } else { long })
    })
}

const REPLICAS: [&str; 2] = ["left", "right"];

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let items = run.list("ITEMS");
    let calls = || items.iter().flat_map(|item| REPLICAS.map(|replica| (replica, *item)));
    // The slower call may be cancelled before it has a connection: then the upstream has not seen it.
    let request = |replica: &str, item: &str| -> Option<&Request> {
        run.requests().iter().find(|request| request.path == format!("/{replica}/{item}"))
    };
    steps.step(
        "both-replicas",
        &["Each price has to be requested from both replicas, each time with a span `fetch`, `replica` and `item`."],
        |trace| {
            for (replica, item) in calls() {
                trace.span("fetch").with("replica", replica).with("item", item).exactly_once();
            }
            let seen = run.requests().len();
            trace.state(
                "requests",
                seen > items.len(),
                &format!("more than {} requests", items.len()),
                &seen.to_string(),
            );
        },
    );
    steps.step(
        "takes-the-first",
        &["For each item one call gets its response, and the other one is cancelled: the order must not wait for the slow replica."],
        |trace| {
            for item in &items {
                let done = REPLICAS.iter().filter(|replica| request(replica, item).is_some_and(|seen| seen.status == 200));
                let done = done.count();
                let spans = trace.span("fetch").with("item", *item);
                for seen in run.requests().iter().filter(|seen| seen.last() == *item && seen.status == 200) {
                    let inside = spans.spans().any(|span| span.start <= seen.begin && seen.end <= span.end);
                    trace.state("request_inside", inside, &format!("{} is within its span", seen.path), "it is outside");
                }
                trace.state("one_response", done == 1, &format!("one response for {item}"), &done.to_string());
            }
        },
    );
    steps.step(
        "cancelled",
        &[
            "A replica saw that its client went away, and the span of that call says nothing about it: it looks like a fast one.",
            "A future that is dropped runs no code of yours behind its `.await`. What does run is the `Drop` of the values that it holds.",
            "Make a value of a type of your own before the `.await`. Its `Drop` records `cancelled`, unless the code behind the `.await` has told it otherwise.",
        ],
        |trace| {
            for (replica, item) in calls() {
                if request(replica, item).is_none_or(|seen| seen.status != 200) {
                    trace.span("fetch").with("replica", replica).with("item", item).attribute("cancelled", true);
                }
            }
        },
    );
    steps.step(
        "not-cancelled",
        &["A call that got its response has `cancelled`, too. What runs only after the response is there?"],
        |trace| {
            for (replica, item) in calls() {
                if request(replica, item).is_some_and(|seen| seen.status == 200) {
                    let expected =
                        format!("the call of {replica} for {item}, which got its response, is not cancelled");
                    let spans = trace.span("fetch").with("replica", replica).with("item", item).with("cancelled", true);
                    trace.state("not_cancelled", spans.spans().count() == 0, &expected, "cancelled is true");
                }
            }
        },
    );
    steps.step(
        "no-error",
        &["Nothing failed: a call that is no longer needed is no error, and must not look like one."],
        |trace| {
            trace.span("fetch").not_failed();
        },
    );
}
