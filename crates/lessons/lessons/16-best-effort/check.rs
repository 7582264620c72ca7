use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let boxes = random.names(4..=7);
    // Not the first one: a loop has something to fetch before it fails.
    let failing = boxes[random.number(1..=3) as usize].clone();
    let status = [500, 502, 503, 504][random.number(0..=3) as usize];
    let (short, long) = (random.milliseconds(10..=30), random.milliseconds(650..=750));
    Setup::new().variable("BOXES", boxes.join(",")).upstream(move |request| match request.last() == failing {
        true => Reply::text("failed").status(status).after(short),
        false => Reply::text(request.last()).after(long),
    })
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let boxes = run.list("BOXES");
    let failed = || run.requests().iter().filter(|request| request.status >= 500);
    steps.step("spans", &["Each box needs its span `fetch` with `box_name`, below the one span `page`."], |trace| {
        trace.span("page").exactly_once().children("fetch").count(boxes.len());
        for name in &boxes {
            trace.span("fetch").with("box_name", *name).exactly_once();
        }
    });
    steps.step(
        "no-call-is-cancelled",
        &[
            "Calls were cancelled: their spans end when the box that fails does, and the services saw that their client went away.",
            "Who drops futures that are not done yet? `try_join_all` does, at the first error.",
            "`join_all` waits for all, and gives a `Vec` of results. `.into_iter().flatten()` leaves out those that are errors.",
        ],
        |trace| {
            let done: Vec<_> = run.requests().iter().filter(|request| request.status != 0).collect();
            let found = format!("{} of {} requests got their response", done.len(), boxes.len());
            trace.state("all_responses", done.len() >= boxes.len(), "a response for each box", &found);
            run.each_request_inside_its(trace, |request| trace.span("fetch").with("box_name", request.last()));
        },
    );
    steps.step(
        "each-box-once",
        &["Each box of BOXES has to be fetched once. A retry can make it worse for a service that fails."],
        |trace| {
            let mut wanted = boxes.clone();
            let mut fetched: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
            wanted.sort_unstable();
            fetched.sort_unstable();
            let found = format!("{fetched:?}");
            trace.state("each_box_once", fetched == wanted, &format!("requests for {wanted:?}"), &found);
        },
    );
    steps.step(
        "at-the-same-time",
        &["Now the boxes are fetched one after another, and the page takes as long as all of them together."],
        |trace| {
            let most = run.requests_at_once();
            trace.state("requests_at_once", most > 1, "more than one request at the same time", &most.to_string());
        },
    );
    steps.step("one-error", &["The service of a box failed, and the span of that box does not say so. The page is shown without the box, but the trace has to say what failed."], |trace| {
        for request in failed() {
            trace.span("fetch").with("box_name", request.last()).failed();
        }
        for request in run.requests().iter().filter(|request| request.status == 200) {
            trace.span("fetch").with("box_name", request.last()).not_failed();
        }
    });
    steps.step("shown", &["`shown` of the span `page` is not the number of boxes that could be fetched."], |trace| {
        trace.span("page").attribute("shown", boxes.len() - failed().count());
    });
    steps.step(
        "page-has-not-failed",
        &["The page was shown, with what there was. The status Error is for a page that could not be shown."],
        |trace| {
            trace.span("page").not_failed();
        },
    );
}
