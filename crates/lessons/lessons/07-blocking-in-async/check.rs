use crate::{Random, Reply, Request, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let items = random.names(3..=5);
    let (scale, shop) = (random.milliseconds(420..=500), random.milliseconds(100..=130));
    Setup::new()
        // A task that blocks would go unnoticed on a machine with many cores.
        .variable("TOKIO_WORKER_THREADS", 1)
        .variable("PARCEL", random.name())
        .variable("ITEMS", items.join(","))
        .upstream(move |request| Reply::text("here").after(if is_weighing(request) { scale } else { shop }))
}

fn is_weighing(request: &Request) -> bool {
    request.path.starts_with("/weigh/")
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let (parcel, items) = (run.variable("PARCEL"), run.list("ITEMS"));
    steps.step(
        "calls",
        &["The program still has to weigh PARCEL, and to request the price of each item of ITEMS, once each."],
        |trace| {
            let mut wanted: Vec<_> = items.iter().map(|item| format!("/prices/{item}")).collect();
            wanted.push(format!("/weigh/{parcel}"));
            let mut found: Vec<_> = run.requests().iter().map(|request| request.path.clone()).collect();
            wanted.sort_unstable();
            found.sort_unstable();
            trace.state("calls", found == wanted, &format!("{wanted:?}"), &format!("{found:?}"));
        },
    );
    steps.step(
        "spans",
        &[
            "`order` needs one child `weigh` with the attribute `parcel`, and for each item a child `price` with its `item`.",
            "A closure on another thread has no span of its caller. Make `weigh` before it, and instrument what waits for it.",
        ],
        |trace| {
            let order = trace.span("order").exactly_once();
            order.children("weigh").with("parcel", parcel).exactly_once();
            order.children("price").count(items.len());
            for item in &items {
                trace.span("price").with("item", *item).exactly_once();
            }
        },
    );
    steps.step(
        "as-long-as-the-calls",
        &["A call was in progress outside of its bar: `weigh` and `price` have to last as long as their calls."],
        |trace| {
            run.each_request_inside_its(trace, |request| match is_weighing(request) {
                true => trace.span("weigh"),
                false => trace.span("price").with("item", request.last()),
            });
        },
    );
    steps.step(
        "others-go-on",
        &[
            "A `price` is requested only when the parcel is weighed: nothing else went on while the scale was busy. Which thread waits in `scale`?",
            "`async fn weigh` has no `.await` in it, so it keeps the thread until it is done. Tokio has threads for code like that.",
            "`tokio::task::spawn_blocking(move || scale(&parcel)).await`, with a `String` of its own.",
        ],
        |trace| {
            let weighed = run.requests().iter().find(|request| is_weighing(request)).map_or(0, |request| request.end);
            let late = run.requests().iter().filter(|request| request.begin >= weighed).count();
            let expected = "the prices are requested while the parcel is on the scale";
            trace.state("others_go_on", late == 0, expected, &format!("{late} prices were requested later"));
        },
    );
}
