use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let (warehouse, bank) = (random.milliseconds(100..=140), random.milliseconds(170..=220));
    Setup::new().variable("ORDER", random.name()).upstream(move |request| {
        let delay = if request.path.starts_with("/reserve/") { warehouse } else { bank };
        Reply::text("done").after(delay)
    })
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let order = run.variable("ORDER");
    steps.step(
        "calls",
        &["The program still has to make its two calls, once each, and to charge only after it has reserved."],
        |trace| {
            let wanted = [format!("/reserve/{order}"), format!("/charge/{order}")];
            let found: Vec<_> = run.requests().iter().map(|request| &request.path).collect();
            let holds = found.iter().copied().eq(&wanted) && run.requests()[0].end <= run.requests()[1].begin;
            trace.state("calls", holds, &format!("{wanted:?}, one after the other"), &format!("{found:?}"));
        },
    );
    steps.step(
        "three-spans",
        &["Three spans are needed, one of each name: `checkout` with the attribute `order`, `reserve` and `charge`."],
        |trace| {
            trace.span("checkout").exactly_once().attribute("order", order);
            trace.span("reserve").exactly_once();
            trace.span("charge").exactly_once();
        },
    );
    steps.step(
        "one-trace",
        &[
            "There are several traces: a span without a parent begins one of its own. Which span is entered when `reserve` is made?",
            "`checkout` is only made and dropped. Someone has to enter it while the two calls are polled.",
            "Put both calls into an `async` block: `let calls = async { … }; calls.instrument(checkout).await;`",
        ],
        |trace| {
            trace.whole().one_root();
        },
    );
    steps.step(
        "parents",
        &[
            "It is one trace, but not the right tree. Both calls belong to the checkout; neither is a part of the other.",
            "A span is a child of what is entered when it is made. Make `charge` where `reserve` is no longer entered.",
        ],
        |trace| {
            trace.span("reserve").parent("checkout");
            trace.span("charge").parent("checkout");
        },
    );
    steps.step(
        "as-long-as-the-calls",
        &[
            "The tree is right, the bars are not: each has to begin with its call and to end with it.",
            "A span begins when `info_span!` makes it. It ends when it is left for the last time, or dropped without having been entered.",
        ],
        |trace| {
            run.each_request_inside(trace, &trace.span("checkout"));
            let name = |request: &crate::Request| request.path.split('/').nth(1).unwrap_or_default().to_owned();
            run.each_request_inside_its(trace, |request| trace.span(&name(request)));
            trace.span("charge").after(&trace.span("reserve"));
        },
    );
}
