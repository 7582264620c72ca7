use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let delay = random.milliseconds(80..=140);
    Setup::new().variable("ORDER", random.name()).upstream(move |_| Reply::text("packed").after(delay))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let order = run.variable("ORDER");
    steps.step("calls", &["The program still has to call the packing station, once."], |trace| {
        let orders: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
        trace.state("calls", orders == [order], &format!("one request for {order}"), &format!("{orders:?}"));
    });
    steps.step(
        "one-span",
        &[
            "No span has the name `pack`. Which macro of `tracing` makes one?",
            "In `main`: `let span = info_span!(\"pack\", order);`. A span that is never entered is not sent.",
            "`pack(&order).instrument(span).await`, with `use tracing::{Instrument, info_span};`.",
        ],
        |trace| {
            trace.span("pack").exactly_once();
        },
    );
    steps.step(
        "attribute",
        &[
            "The span does not say which order it is about. A field of `info_span!` becomes an attribute.",
            "`info_span!(\"pack\", order)` takes the value of the variable `order`.",
        ],
        |trace| {
            trace.span("pack").attribute("order", order);
        },
    );
    steps.step(
        "lasts-as-long",
        &[
            "The span is over before the response of the packing station is there.",
            "An async function is polled several times. `.instrument(span)` enters the span each time.",
        ],
        |trace| run.each_request_inside(trace, &trace.span("pack")),
    );
}
