use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let labels = random.names(4..=6);
    let delay = random.milliseconds(100..=140);
    Setup::new().variable("LABELS", labels.join(",")).upstream(move |_| Reply::text("printed").after(delay))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let labels = run.list("LABELS");
    steps.step("each-label-once", &["Each label of LABELS has to be sent to the printer, once."], |trace| {
        let mut wanted = labels.clone();
        let mut printed: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
        wanted.sort_unstable();
        printed.sort_unstable();
        trace.state("each_label_once", printed == wanted, &format!("requests for {wanted:?}"), &format!("{printed:?}"));
    });
    steps.step(
        "one-at-a-time",
        &[
            "The printer got a label while it was still printing another. The program was right in that: only its spans are to change.",
        ],
        |trace| {
            let most = run.requests_at_once();
            trace.state("one_at_a_time", most == 1, "one request at a time", &format!("{most} at the same time"));
        },
    );
    steps.step(
        "spans",
        &["Each label needs its span `print` with the attribute `label`, and all of them belong below the one span `order`."],
        |trace| {
            trace.span("order").exactly_once().children("print").count(labels.len());
            for label in &labels {
                trace.span("print").with("label", *label).exactly_once();
            }
        },
    );
    steps.step(
        "begins-when-printed",
        &[
            "Bars overlap, but the printer saw one label after the other: a bar begins before its label is printed. When is `info_span!` executed?",
            "`.map(…).collect()` makes all spans before the first job is awaited. What stands in an `async` block is executed when the future is polled.",
            "`async move { print(label).instrument(info_span!(\"print\", label)).await }`, or `#[instrument]` on `print`.",
        ],
        |trace| {
            trace.span("print").one_after_another();
        },
    );
    steps.step(
        "as-long-as-printing",
        &[
            "A label was printed when its bar was already over, or had not begun.",
            "`.instrument(span)` on the future of the call lets the span last until the response is there.",
        ],
        |trace| run.each_request_inside_its(trace, |request| trace.span("print").with("label", request.last())),
    );
}
