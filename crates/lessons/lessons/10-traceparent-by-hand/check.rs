use crate::{Random, Reply, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let items = random.names(4..=7);
    let delay = random.milliseconds(100..=160);
    Setup::new().variable("ITEMS", items.join(",")).upstream(move |_| Reply::text("reserved").after(delay))
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let items = run.list("ITEMS");
    steps.step("each-item-once", &["Each item of ITEMS has to be reserved at the warehouse, once."], |trace| {
        let mut wanted = items.clone();
        let mut reserved: Vec<_> = run.requests().iter().map(|request| request.last()).collect();
        wanted.sort_unstable();
        reserved.sort_unstable();
        let found = format!("{reserved:?}");
        trace.state("each_item_once", reserved == wanted, &format!("requests for {wanted:?}"), &found);
    });
    steps.step(
        "spans",
        &["Each item needs its span `reserve` with the attribute `item`, below the span `order`."],
        |trace| {
            trace.span("order").exactly_once().children("reserve").count(items.len());
            for item in &items {
                trace.span("reserve").with("item", *item).exactly_once();
            }
        },
    );
    steps.step(
        "header",
        &[
            "A request arrived without a `traceparent` that can be read: the warehouse begins a trace of its own.",
            "It has the form `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`, in small letters.",
            "If a propagator writes it: the global one of OpenTelemetry does nothing before `global::set_text_map_propagator`.",
        ],
        |trace| {
            for request in run.requests() {
                let header = request.traceparent.as_deref().unwrap_or("none");
                let expected = format!("a traceparent at {}", request.path);
                trace.state("traceparent", is_traceparent(header), &expected, header);
            }
        },
    );
    steps.step(
        "same-trace",
        &[
            "The trace id in the header is not that of the span `order`: the warehouse's spans are in another trace.",
            "All ids come from the span context: `Span::current().context().span().span_context()`.",
        ],
        |trace| {
            let own = trace.tree().spans.iter().zip(0..).find(|(span, _)| span.name == "order");
            let own = own.map(|(_, i)| trace.details(i).trace_id.as_str()).unwrap_or_default();
            for request in run.requests() {
                let found = request.ids().map(|(trace_id, _)| trace_id).unwrap_or_default();
                trace.state("trace_id", found == own, &format!("the trace id {own} at {}", request.path), found);
            }
        },
    );
    steps.step(
        "parent-is-the-call",
        &[
            "The header names another span than `reserve` of this item. Which span was current when the header was made?",
            "A span is current where its future is polled. What is written before `.instrument(…)`, outside of its future, is not in the span.",
            "Make the request inside of `async { … }`, which `.instrument(info_span!(\"reserve\", …))` polls.",
        ],
        |trace| {
            for request in run.requests() {
                let id = request.ids().map(|(_, id)| id).unwrap_or_default();
                let named = trace.tree().spans.iter().zip(0..).find(|(span, _)| span.id.to_string() == id);
                let own = trace.span("reserve").with("item", request.last());
                let holds = own.spans().any(|span| span.id.to_string() == id);
                let found = match named {
                    Some((span, i)) => format!("the span {:?} {:?}", span.name, trace.details(i).attributes.get("item")),
                    None => format!("no span of this program, {id}"),
                };
                trace.state("parent_id", holds, &format!("the span of {} at {}", request.last(), request.path), &found);
            }
        },
    );
    steps.step(
        "recorded",
        &["The last part of the header says that this trace is not recorded, so the warehouse keeps no spans of it. The flags are in the span context, too."],
        |trace| {
            for request in run.requests() {
                let header = request.traceparent.as_deref().unwrap_or_default();
                trace.state("flags", header.ends_with("-01"), &format!("the flags 01 at {}", request.path), header);
            }
        },
    );
}

fn is_traceparent(header: &str) -> bool {
    let parts: Vec<_> = header.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let lengths: Vec<_> = parts.iter().map(|part| part.len()).collect();
    lengths == [2, 32, 16, 2] && parts[0] == "00" && parts.iter().all(is_hex)
}
