use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let items = random.names(4..=6);
    let delay = random.milliseconds(150..=200);
    Setup::new().variable("ITEMS", items.join(",")).upstream(move |_| Reply::text("12 euros").after(delay))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let items = run.list("ITEMS");
    steps.step("each-item-once", &["The price of each item of ITEMS has to be requested, once."], |trace| {
        let mut wanted = items.clone();
        let mut requested: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
        wanted.sort_unstable();
        requested.sort_unstable();
        trace.state(
            "each_item_once",
            requested == wanted,
            &format!("requests for {wanted:?}"),
            &format!("{requested:?}"),
        );
    });
    steps.step(
        "spans",
        &["One span `quote` is needed, and for each item a `price` and a `discount`, both with the attribute `item`."],
        |trace| {
            trace.span("quote").exactly_once();
            for name in ["price", "discount"] {
                trace.span(name).count(items.len());
                for item in &items {
                    trace.span(name).with("item", *item).exactly_once();
                }
            }
        },
    );
    steps.step(
        "below-the-quote",
        &[
            "Not every `price` is a child of `quote`. Where one is below another: what was still entered when its span was made?",
            "`join_all` polls one future after another on one thread. Each leaves its guard there when it waits at `.await`.",
            "Drop the guard, put what it covered into an `async` block, and let `.instrument(span)` enter the span at each poll.",
        ],
        |trace| {
            trace.span("price").parent("quote");
        },
    );
    steps.step(
        "discount-below-its-price",
        &[
            "A `discount` is not below the `price` of its item. What is entered when the response has arrived?",
            "After `.await` the span has to be entered again, because the future is polled anew. `.instrument(span)` does it each time.",
        ],
        |trace| {
            for item in &items {
                let price = trace.span("price").with("item", *item);
                price.children("discount").with("item", *item).exactly_once();
            }
        },
    );
    steps.step(
        "at-the-same-time",
        &["The tree is right, but the shop got one request after another. It was all at the same time before."],
        |trace| {
            // On a busy machine the first response may be there before the last request is.
            let (most, least) = (run.requests_at_once(), items.len() / 2 + 1);
            let expected = format!("{least} requests at the same time, or more");
            trace.state("requests_at_once", most >= least, &expected, &most.to_string());
        },
    );
    steps.step(
        "as-long-as-the-call",
        &["A price was requested outside of its bar `price`: a span has to last as long as its call."],
        |trace| run.each_request_inside_its(trace, |request| trace.span("price").with("item", request.last())),
    );
}
