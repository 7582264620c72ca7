use crate::{Random, Reply, Request, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let count = random.number(5..=8);
    let headers: Vec<_> = (0..count)
        .map(|i| {
            // A ratio decides by the second half of the trace id: small ones are recorded. Here the callers have decided
            // the other way for the first two, and by chance for the rest.
            let (half, is_recorded) = match i {
                0 => (random.number(1 << 63..=u64::MAX), true),
                1 => (random.number(1..=1 << 60), false),
                _ => (random.number(1..=u64::MAX), random.number(0..=1) == 1),
            };
            let (first, span) = (random.number(1..=u64::MAX), random.number(1..=u64::MAX));
            format!("00-{first:016x}{half:016x}-{span:016x}-{:02x}", u8::from(is_recorded))
        })
        .collect();
    let delay = random.milliseconds(30..=60);
    Setup::new().variable("REQUESTS", headers.join(",")).upstream(move |_| Reply::text("12").after(delay))
}

/// Trace id, span id, and whether the trace is recorded.
fn parts(header: &str) -> (&str, &str, bool) {
    let mut parts = header.split('-').skip(1);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), header.ends_with("-01"))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let callers: Vec<_> = run.list("REQUESTS").into_iter().map(parts).collect();
    let calls_of = |trace_id: &str| -> Vec<&Request> {
        run.requests().iter().filter(|request| request.ids().is_some_and(|(id, _)| id == trace_id)).collect()
    };
    steps.step(
        "hands-the-trace-on",
        &[
            "The stock service has to be called once for each request, in the trace of its caller, also where nothing is recorded: otherwise it begins a trace of its own.",
            "The span needs its parent before it is entered, and it needs to be there for each request: the sampler decides whether it is recorded.",
        ],
        |trace| {
            for (trace_id, ..) in &callers {
                let found = calls_of(trace_id).len();
                trace.state("one_call", found == 1, &format!("one call in trace {trace_id}"), &found.to_string());
            }
        },
    );
    let picks = |trace_id: &str, trace: &trace_check::Trace| {
        let spans = trace.tree().spans.iter().enumerate();
        let of_trace = spans.filter(|(i, span)| span.name == "pick" && trace.details(*i).trace_id == trace_id);
        of_trace.map(|(_, span)| (span.id.to_string(), span.parent.map(|id| id.to_string()))).collect::<Vec<_>>()
    };
    steps.step(
        "what-the-caller-records",
        &[
            "A shop records its trace, and the part of the warehouse is missing in it: the sampler decides anew, without a look at the caller.",
            "`TraceIdRatioBased` does not look at what the caller has decided. Which variant of `Sampler` does?",
            "`Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(0.25)))` follows the caller, and uses the inner one where there is none.",
        ],
        |trace| {
            for (trace_id, span_id, _) in callers.iter().filter(|(.., is_recorded)| *is_recorded) {
                let found = picks(trace_id, trace);
                let holds = found.len() == 1 && found[0].1.as_deref() == Some(*span_id);
                let expected = format!("one span pick below {span_id} in trace {trace_id}");
                trace.state("recorded_by_caller", holds, &expected, &format!("{} in this trace", found.len()));
            }
        },
    );
    steps.step(
        "nothing-else",
        &["A shop does not record its trace, but the warehouse does: these spans are a piece without its beginning."],
        |trace| {
            for (trace_id, ..) in callers.iter().filter(|(.., is_recorded)| !is_recorded) {
                let found = picks(trace_id, trace).len();
                trace.state("not_recorded", found == 0, &format!("no span in trace {trace_id}"), &found.to_string());
            }
            trace.span("pick").count(callers.iter().filter(|(.., is_recorded)| *is_recorded).count());
        },
    );
    steps.step(
        "same-flags",
        &["The stock service got other flags than this program did, or another span than `pick` as its parent."],
        |trace| {
            for (trace_id, _, is_recorded) in &callers {
                for request in calls_of(trace_id) {
                    let header = request.traceparent.as_deref().unwrap_or_default();
                    let (_, span_id, flag) = parts(header);
                    let is_below = !is_recorded || picks(trace_id, trace).iter().any(|(id, _)| id == span_id);
                    let expected = format!("flags {:02x}, below pick", u8::from(*is_recorded));
                    trace.state("same_flags", flag == *is_recorded && is_below, &expected, header);
                }
            }
        },
    );
}
