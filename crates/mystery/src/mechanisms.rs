//! What can be wrong, and how a trace shows it.

use std::ops::RangeInclusive;

use faults::Fault;
use trace_check::{Report, Trace};

use crate::plan::Incident;
use crate::statements;

/// The culprit where nothing is wrong.
pub const NOBODY: &str = "none";

/// Who can be a culprit.
pub const SERVICES: [&str; 3] = ["frontend", "dice-roller", "die-service"];

/// Something that can be wrong in the running system.
#[derive(Debug)]
pub struct Mechanism {
    /// As answers write it.
    pub name: &'static str,
    /// What happens, without a stop at its end.
    pub sentence: &'static str,
    /// The service in which it happens.
    pub culprit: &'static str,
    /// What a trace shows of it.
    shows: &'static str,
    /// 1 to 3; none where it can be at every level.
    level: Option<u8>,
    /// The values that the fault gets.
    pub(crate) sizes: Option<RangeInclusive<u64>>,
    /// Whether it is about one die.
    pub(crate) of_die: bool,
    /// A query in TraceQL, with `{half}` for half of the value; what matches it need not show the mechanism, but of the newest some do.
    query: &'static str,
    /// What holds in a healthy trace.
    statement: fn(&Trace),
}

/// Nothing is wrong, which is an answer too.
pub(crate) const HEALTHY: Mechanism = Mechanism {
    name: "healthy",
    sentence: "nothing is wrong, and what looks odd has a harmless cause",
    culprit: NOBODY,
    shows: "Every statement about a healthy trace holds.",
    level: None,
    sizes: None,
    of_die: false,
    query: r#"{ name = "GET /roll-async" }"#,
    statement: statements::structure,
};

/// All that can be wrong, in the sequence of the faults, and last that nothing is.
pub(crate) const MECHANISMS: [Mechanism; 13] = [
    Mechanism {
        level: Some(2),
        shows: "Each roll of a batch begins when the one before has ended, although all were to run at once; rolls of \
                other batches go on meanwhile.",
        query: r#"{ name = "GET /roll-async" && resource.service.name = "dice-roller" && span.async.batch_size > 3 }"#,
        statement: statements::rolls_run_together,
        ..of(Fault::LockAcrossAwait)
    },
    Mechanism {
        level: Some(3),
        shows: "Each roll of a batch begins when the one before has ended, although all were to run at once, and all \
                other work of the service stands still meanwhile.",
        query: r#"{ name = "GET /roll-async" && resource.service.name = "dice-roller" && span.async.batch_size > 3 }"#,
        statement: statements::rolls_run_together,
        ..of(Fault::BlockingSleep)
    },
    Mechanism {
        level: Some(3),
        sizes: Some(60..=120),
        shows: "Calls to die-service take far longer than die-service does: they wait before it, for each other.",
        query: r#"{ name = "GET" && resource.service.name = "dice-roller" && kind = client && duration > {half}ms }"#,
        statement: statements::calls_do_not_wait,
        ..of(Fault::SmallPool)
    },
    Mechanism {
        level: Some(1),
        shows: "A batch has a call to die-service for each of its rolls, where one is enough.",
        query: r#"{ name = "GET" && resource.service.name = "dice-roller" && kind = client } | count() > 2"#,
        statement: statements::one_call_per_batch,
        ..of(Fault::OneCallPerRoll)
    },
    Mechanism {
        level: Some(1),
        sizes: Some(200..=700),
        of_die: true,
        shows: "The call to die-service takes long, and it is die-service itself that takes the time.",
        query: r#"{ name = "GET /dice" && resource.service.name = "die-service" && duration > {half}ms }"#,
        statement: statements::die_service_is_fast,
        ..of(Fault::SlowDie)
    },
    Mechanism {
        level: Some(1),
        shows: "The call of frontend has nothing below it: what dice-roller did is in a trace of its own.",
        query: r#"{ trace:rootService = "dice-roller" }"#,
        statement: statements::calls_continue,
        ..of(Fault::LostContext)
    },
    Mechanism {
        level: Some(2),
        shows: "Batches have no rolls below them: each roll is a trace of its own, whose root is the roll.",
        query: r#"{ trace:rootName =~ "async_roll_.*" }"#,
        statement: statements::rolls_have_parents,
        ..of(Fault::DetachedRolls)
    },
    Mechanism {
        level: Some(2),
        shows: "Rolls go on after the end of the batch that they belong to.",
        query: r#"{ name = "GET /roll-async" && resource.service.name = "dice-roller" && span.async.batch_size > 2 }"#,
        statement: statements::rolls_end_in_time,
        ..of(Fault::EarlyAnswer)
    },
    Mechanism {
        level: Some(1),
        sizes: Some(4..=15),
        shows: "After a failure frontend calls again and again, each call right after the one before.",
        query: r#"{ resource.service.name = "frontend" && kind = client } | count() > 1"#,
        statement: statements::no_repeated_calls,
        ..of(Fault::RetryStorm)
    },
    Mechanism {
        level: Some(2),
        shows: "A roll that failed looks like one that went well, but its result is on no face of the die.",
        query: r#"{ resource.service.name = "dice-roller" && span.die.result < 0 }"#,
        statement: statements::failures_are_reported,
        ..of(Fault::HiddenError)
    },
    Mechanism {
        level: Some(3),
        sizes: Some(80..=900),
        shows: "Spans of die-service begin before the call that causes them, which cannot be: its clock is behind.",
        query: r#"{ name = "GET /dice" && resource.service.name = "die-service" }"#,
        statement: statements::calls_begin_first,
        ..of(Fault::ClockSkew)
    },
    Mechanism {
        level: Some(3),
        sizes: Some(4..=16),
        shows: "Spans are missing: the trace has holes, and telemetry_spans_dropped_total of the service counts them.",
        query: r#"{ resource.service.name = "dice-roller" && kind = internal }"#,
        statement: statements::nothing_is_missing,
        ..of(Fault::DroppedSpans)
    },
    HEALTHY,
];

/// What the table of faults says of it.
const fn of(fault: Fault) -> Mechanism {
    let info = &faults::TABLE[fault as usize];
    Mechanism { name: info.name, sentence: info.sentence, culprit: info.service, ..HEALTHY }
}

/// All that can be wrong.
pub fn mechanisms() -> impl Iterator<Item = &'static Mechanism> {
    MECHANISMS.iter()
}

impl Mechanism {
    pub(crate) fn is_of(&self, level: u8) -> bool {
        self.level.is_none_or(|of| of == level)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.culprit == NOBODY
    }

    /// The query for the traces of this incident.
    pub(crate) fn query(&self, incident: &Incident) -> String {
        let size = incident.value.as_ref().and_then(|value| value.rsplit(':').next()?.parse::<u64>().ok());
        self.query.replace("{half}", &(size.unwrap_or(0) / 2).to_string())
    }

    /// What happens and where, and what a trace shows of it.
    pub(crate) fn told(&self) -> String {
        let Self { name, sentence, shows, .. } = self;
        let at = if self.is_healthy() { String::new() } else { format!(" in {}", self.culprit) };
        format!("{name}{at}: {sentence}.\n{shows}")
    }

    /// The statements about a healthy trace that do not hold in this one because of the mechanism.
    pub(crate) fn broken_in(&self, trace: &Trace) -> Option<Report> {
        trace.check(self.statement).err()
    }
}
