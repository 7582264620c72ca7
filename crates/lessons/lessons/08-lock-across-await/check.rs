use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let items = random.names(4..=6);
    let (delay, cents) = (random.milliseconds(150..=200), random.number(2..=9));
    Setup::new()
        .variable("ITEMS", items.join(","))
        .upstream(move |request| Reply::text((number(request.last()) * cents).to_string()).after(delay))
}

/// 417 of `lamp-417`.
fn number(item: &str) -> u64 {
    item.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
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
        &["One span `bill` is needed, below it an `add` for each item, and below each `add` the `price` of the same `item`."],
        |trace| {
            let bill = trace.span("bill").exactly_once();
            bill.children("add").count(items.len());
            for item in &items {
                let add = bill.children("add").with("item", *item).exactly_once();
                add.children("price").with("item", *item).exactly_once();
            }
        },
    );
    steps.step(
        "sum",
        &[
            "The attribute `sum` of `bill` is not the sum of the prices. Did two items read the same sum, and each write its own?",
            "What is read from behind the lock is old as soon as the guard is dropped. Read and write with one guard.",
        ],
        |trace| {
            let prices = run.requests().iter().filter_map(|request| request.response.parse::<u64>().ok());
            let sum: u64 = prices.sum();
            let bill = trace.tree().spans.iter().position(|span| span.name == "bill").unwrap_or_default();
            // As text, too: that is what tracing-opentelemetry makes of a u64.
            let found = trace.details(bill).attributes.get("sum").map(|value| value.to_string().replace('"', ""));
            let expected = format!("the attribute `sum` of `bill` is {sum}");
            let found = found.unwrap_or("no such attribute".to_owned());
            trace.state("sum", found == sum.to_string(), &expected, &found);
        },
    );
    steps.step(
        "at-the-same-time",
        &[
            "Each `price` begins when the one before has ended: something lets only one at a time through. What does an `add` hold while it waits for the shop?",
            "The guard is there before `price(item).await` begins, and until it ends. Only the addition needs it.",
            "First `let price = price(item).await;`, then `*sum.lock().await += price;`.",
        ],
        |trace| {
            trace.span("price").all_overlap();
        },
    );
    steps.step(
        "requests-at-the-same-time",
        &["The bars overlap, but the shop saw one request after another: `price` has to last as long as its call."],
        |trace| {
            // On a busy machine the first response may be there before the last request is.
            let (most, least) = (run.requests_at_once(), items.len() / 2 + 1);
            let expected = format!("{least} requests at the same time, or more");
            trace.state("requests_at_once", most >= least, &expected, &most.to_string());
            run.each_request_inside_its(trace, |request| trace.span("price").with("item", request.last()));
        },
    );
}
