use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let parcels = random.names(4..=8);
    // Not the last one: what is sent after it has to be in the trace, too.
    let refused = parcels[random.number(0..=2) as usize].clone();
    let delay = random.milliseconds(20..=40);
    let setup = Setup::new().variable("PARCELS", parcels.join(",")).any_status();
    setup
        .upstream(move |request| Reply::text("").status(if request.last() == refused { 409 } else { 202 }).after(delay))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let parcels = run.list("PARCELS");
    steps.step(
        "each-parcel-once",
        &["Each parcel of PARCELS has to be sent to the courier, once, also after one that was refused."],
        |trace| {
            let mut wanted = parcels.clone();
            let mut sent: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
            wanted.sort_unstable();
            sent.sort_unstable();
            trace.state("each_parcel_once", sent == wanted, &format!("requests for {wanted:?}"), &format!("{sent:?}"));
        },
    );
    steps.step(
        "tells-the-scheduler",
        &[
            "A parcel was refused, so the program has to end with status 1. Status 0 says that all went well, and 101 that it has panicked.",
        ],
        |trace| {
            let found = run.status.map(|status| status.to_string()).unwrap_or_default();
            let fails = run.status.and_then(|status| status.code()) == Some(1);
            trace.state("status", fails, "the program ends with status 1", &found);
        },
    );
    steps.step(
        "all-parcels-arrive",
        &[
            "The courier saw the parcels, and no span of them has arrived: they were still in the program when it ended.",
            "`process::exit` ends the program where it stands. It drops no value, so the `drop(telemetry)` in `main` does not run. Where is the last place at which the program may end?",
            "Let `job` return the number of refused parcels, and decide about the status in `main`, behind `drop(telemetry)`: `main` can return an `ExitCode`.",
            "If nothing arrives at all: `let _ = learning::start();` drops the telemetry at once. It needs a name.",
        ],
        |trace| {
            trace.span("send").count(parcels.len());
            for parcel in &parcels {
                trace.span("send").with("parcel", *parcel).exactly_once();
            }
        },
    );
    steps.step(
        "the-job-arrives",
        &[
            "The parcels have arrived, but the span above them has not: it had not ended when the provider was shut down.",
            "Only spans that have ended are sent. The shutdown has to come after the future of `job` is done.",
        ],
        |trace| {
            trace.span("job").exactly_once().children("send").count(parcels.len());
        },
    );
}
