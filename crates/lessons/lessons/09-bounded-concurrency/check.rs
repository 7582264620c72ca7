use crate::{Random, Reply, Request, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let parcels = random.names(7..=9);
    let far = parcels[0].clone();
    let (slow, usual) = (random.milliseconds(700..=780), random.milliseconds(100..=120));
    Setup::new()
        .variable("PARCELS", parcels.join(","))
        .variable("VANS", random.number(2..=3))
        .upstream(move |request| Reply::text("delivered").after(if request.last() == far { slow } else { usual }))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let parcels = run.list("PARCELS");
    let vans = run.variable("VANS").parse().unwrap_or(0);
    steps.step("each-parcel-once", &["Each parcel of PARCELS has to be delivered, once."], |trace| {
        let mut wanted = parcels.clone();
        let mut delivered: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
        wanted.sort_unstable();
        delivered.sort_unstable();
        let found = format!("{delivered:?}");
        trace.state("each_parcel_once", delivered == wanted, &format!("deliveries of {wanted:?}"), &found);
    });
    steps.step(
        "no-more-than-vans",
        &[
            "There are more deliveries at a time than vans. A permit is given back when it is dropped: when is that here?",
            "`let _ = …` drops its value at once, and holds nothing. A name holds it until the end of the block.",
            "`let _van = vans.acquire().await;`",
        ],
        |trace| {
            let most = run.requests_at_once();
            trace.state("no_more_than_vans", most <= vans, &format!("{vans} at the same time"), &most.to_string());
        },
    );
    steps.step(
        "all-vans",
        &["A van stood still all day: there were fewer deliveries at the same time than vans."],
        |trace| {
            let most = run.requests_at_once();
            trace.state("all_vans", most >= vans, &format!("{vans} at the same time"), &most.to_string());
        },
    );
    steps.step(
        "no-waves",
        &[
            "Bars begin together, in waves: vans that are back wait for the slowest one of their wave. Each could leave on its own.",
            "Groups (`chunks`) wait for their slowest member. A semaphore or `buffer_unordered` lets the next begin when any one ends.",
        ],
        |trace| {
            // The slow delivery is one of the first: while it lasts, the other vans leave again.
            let Some(slow) = run.requests().iter().max_by_key(|request| request.end - request.begin) else { return };
            let begun = |request: &&Request| request.begin < slow.end;
            let begun = run.requests().iter().filter(begun).count();
            let expected = format!("more than {vans} begin before the slowest ends");
            trace.state("no_waves", begun > vans, &expected, &begun.to_string());
        },
    );
    steps.step(
        "spans",
        &["The deliveries are right. Below the one span `day`, each needs its span `deliver` with the attribute `parcel`."],
        |trace| {
            trace.span("day").exactly_once().children("deliver").count(parcels.len());
            for parcel in &parcels {
                trace.span("deliver").with("parcel", *parcel).exactly_once();
            }
        },
    );
    steps.step(
        "as-long-as-the-delivery",
        &["A parcel was delivered outside of its bar `deliver`: a span has to last as long as its call."],
        |trace| run.each_request_inside_its(trace, |request| trace.span("deliver").with("parcel", request.last())),
    );
    steps.step(
        "waiting-is-not-delivering",
        &[
            "The service saw no more deliveries than vans, but more bars than that overlap: they begin while their parcel still waits.",
            "A span begins where `info_span!` is executed. Make it when the permit is there.",
        ],
        |trace| {
            trace.span("deliver").peak_concurrency(..=vans);
        },
    );
}
