use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let items = random.names(4..=7);
    let delay = random.milliseconds(180..=240);
    Setup::new().variable("ITEMS", items.join(",")).upstream(move |_| Reply::text("here").after(delay))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let items = run.list("ITEMS");
    steps.step("each-item-once", &["Each item of ITEMS has to be fetched from the warehouse, once."], |trace| {
        let mut wanted = items.clone();
        let mut fetched: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
        wanted.sort_unstable();
        fetched.sort_unstable();
        trace.state("each_item_once", fetched == wanted, &format!("requests for {wanted:?}"), &format!("{fetched:?}"));
    });
    steps.step(
        "spans",
        &[
            "Each item needs its span `fetch`, and all of them belong below the one span `order`.",
            "A task of its own (`tokio::spawn`, `JoinSet`) does not have the span of who started it. `.in_current_span()` on its future takes it along.",
        ],
        |trace| {
            let order = trace.span("order").exactly_once();
            order.children("fetch").count(items.len());
            for item in &items {
                trace.span("fetch").with("item", *item).exactly_once();
            }
        },
    );
    steps.step(
        "at-the-same-time",
        &[
            "The loop waits for each response before it sends the next request. Make all futures first, then wait for all.",
            "`fetch(&client, item)` without `.await` is a future that has not begun. `join_all` of the crate `futures` takes many and polls them together.",
            "`join_all(items.split(',').map(|item| fetch(&client, item))).await;`",
        ],
        |trace| {
            trace.span("fetch").all_overlap();
        },
    );
    steps.step(
        "requests-at-the-same-time",
        &["The spans overlap, but the warehouse saw the requests one after another: a span has to last as long as its work."],
        |trace| {
            // On a busy machine the first response may be there before the last request is.
            let (most, least) = (run.requests_at_once(), items.len() / 2 + 1);
            let expected = format!("{least} requests at the same time, or more");
            trace.state("requests_at_once", most >= least, &expected, &most.to_string());
        },
    );
}
