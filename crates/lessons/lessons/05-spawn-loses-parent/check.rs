use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let parcels = random.names(4..=7);
    let delay = random.milliseconds(180..=240);
    Setup::new().variable("PARCELS", parcels.join(",")).upstream(move |_| Reply::text("booked").after(delay))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let parcels = run.list("PARCELS");
    steps.step(
        "each-parcel-once",
        &[
            "A courier has to be booked for each parcel of PARCELS, once, and the program has to wait for the responses.",
            "When `main` returns, the runtime ends, and with it every task that is not done.",
        ],
        |trace| {
            let mut wanted = parcels.clone();
            let done = run.requests().iter().filter(|request| request.status == 200);
            let mut booked: Vec<_> = done.map(|request| request.last()).collect();
            wanted.sort_unstable();
            booked.sort_unstable();
            trace.state("each_parcel_once", booked == wanted, &format!("bookings of {wanted:?}"), &format!("{booked:?}"));
        },
    );
    steps.step(
        "spans",
        &[
            "One span `order` is needed, and one span `book` for each parcel, with the parcel in the attribute `parcel`.",
            "`#[instrument]` writes a `String` with quotes, as `{:?}` does. `info_span!(\"book\", parcel)` writes the text itself.",
        ],
        |trace| {
            trace.span("order").exactly_once();
            trace.span("book").count(parcels.len());
            for parcel in &parcels {
                trace.span("book").with("parcel", *parcel).exactly_once();
            }
        },
    );
    steps.step(
        "below-the-order",
        &[
            "The bars `book` are not below `order`: each begins a trace of its own. What is entered in a task when it is polled?",
            "Nothing is entered in a new task. The future that goes to `tokio::spawn` has to take the span of its caller with it.",
            "`tokio::spawn(book(parcel.to_owned()).in_current_span())`",
        ],
        |trace| {
            trace.span("book").parent("order");
            trace.whole().one_root();
        },
    );
    steps.step(
        "at-the-same-time",
        &[
            "The tree is right, but now the courier gets one parcel after another.",
            "Start all tasks before the first is awaited, as the program did.",
        ],
        |trace| {
            // On a busy machine the first response may be there before the last request is.
            let (most, least) = (run.requests_at_once(), parcels.len() / 2 + 1);
            let expected = format!("{least} requests at the same time, or more");
            trace.state("requests_at_once", most >= least, &expected, &most.to_string());
        },
    );
    steps.step(
        "as-long-as-the-booking",
        &["A booking was in progress outside of its bar `book`: a span has to last as long as its call."],
        |trace| run.each_request_inside_its(trace, |request| trace.span("book").with("parcel", request.last())),
    );
}
