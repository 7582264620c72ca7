//! All faults: the one table that settings, page, documents and tests read.

use std::ops::RangeInclusive;

/// A fault. The table is in the sequence of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `lock-across-await`
    LockAcrossAwait,
    /// `blocking-sleep`
    BlockingSleep,
    /// `small-pool`
    SmallPool,
    /// `one-call-per-roll`
    OneCallPerRoll,
    /// `slow-die`
    SlowDie,
    /// `lost-context`
    LostContext,
    /// `detached-rolls`
    DetachedRolls,
    /// `early-answer`
    EarlyAnswer,
    /// `retry-storm`
    RetryStorm,
    /// `hidden-error`
    HiddenError,
    /// `clock-skew`
    ClockSkew,
    /// `dropped-spans`
    DroppedSpans,
}

/// What is known of a fault before it is switched on.
#[derive(Debug)]
pub struct FaultInfo {
    /// Which one.
    pub fault: Fault,
    /// As settings and pages write it.
    pub name: &'static str,
    /// What it does.
    pub sentence: &'static str,
    /// The service that has it.
    pub service: &'static str,
    /// The number that it takes; none where it takes none.
    pub value: Option<ValueInfo>,
}

/// The number that a fault takes.
#[derive(Debug)]
pub struct ValueInfo {
    /// What it is.
    pub meaning: &'static str,
    /// From and to.
    pub range: RangeInclusive<u64>,
    /// Where it is left out.
    pub default: u64,
    /// Whether the name of a die and a colon may stand before it.
    pub of_die: bool,
}

const fn number(meaning: &'static str, range: RangeInclusive<u64>, default: u64) -> Option<ValueInfo> {
    Some(ValueInfo { meaning, range, default, of_die: false })
}

const DIE_SERVICE: &str = "die-service";
const DICE_ROLLER: &str = "dice-roller";
const FRONTEND: &str = "frontend";

/// All faults.
pub const TABLE: [FaultInfo; 12] = [
    FaultInfo {
        fault: Fault::LockAcrossAwait,
        name: "lock-across-await",
        sentence: "the rolls of a batch share a mutex, which each holds while it waits",
        service: DICE_ROLLER,
        value: None,
    },
    FaultInfo {
        fault: Fault::BlockingSleep,
        name: "blocking-sleep",
        sentence: "a roll of a batch waits with std::thread::sleep, which blocks the runtime",
        service: DICE_ROLLER,
        value: None,
    },
    FaultInfo {
        fault: Fault::SmallPool,
        name: "small-pool",
        sentence: "there is one connection to die-service, and each call keeps it for a while",
        service: DICE_ROLLER,
        value: number("milliseconds for which a call keeps the connection", 1..=1000, 50),
    },
    FaultInfo {
        fault: Fault::OneCallPerRoll,
        name: "one-call-per-roll",
        sentence: "each roll of a batch requests the specification of its die from die-service",
        service: DICE_ROLLER,
        value: None,
    },
    FaultInfo {
        fault: Fault::SlowDie,
        name: "slow-die",
        sentence: "die-service waits before it sends the specification of a die",
        service: DIE_SERVICE,
        value: Some(ValueInfo {
            meaning: "milliseconds, for all dice or (name:milliseconds) for one",
            range: 1..=1500, // dice-roller gives up after 2 s
            default: 500,
            of_die: true,
        }),
    },
    FaultInfo {
        fault: Fault::LostContext,
        name: "lost-context",
        sentence: "frontend sends no traceparent",
        service: FRONTEND,
        value: None,
    },
    FaultInfo {
        fault: Fault::DetachedRolls,
        name: "detached-rolls",
        sentence: "the rolls of a batch are tasks that are spawned without their parent",
        service: DICE_ROLLER,
        value: None,
    },
    FaultInfo {
        fault: Fault::EarlyAnswer,
        name: "early-answer",
        sentence: "the response to a batch is sent when its first roll has ended",
        service: DICE_ROLLER,
        value: None,
    },
    FaultInfo {
        fault: Fault::RetryStorm,
        name: "retry-storm",
        sentence: "frontend repeats a request whose response is 5xx, without a pause",
        service: FRONTEND,
        value: number("how often it is sent at most", 2..=20, 10),
    },
    FaultInfo {
        fault: Fault::HiddenError,
        name: "hidden-error",
        sentence: "a roll that failed, of a batch or alone, counts as a roll of -1, and its request as a success",
        service: DICE_ROLLER,
        value: None,
    },
    FaultInfo {
        fault: Fault::ClockSkew,
        name: "clock-skew",
        sentence: "the clock of die-service's spans is behind",
        service: DIE_SERVICE,
        value: number("milliseconds", 1..=60_000, 300),
    },
    FaultInfo {
        fault: Fault::DroppedSpans,
        name: "dropped-spans",
        sentence: "the queue of spans that wait for their export is short",
        service: DICE_ROLLER,
        value: number("spans in the queue", 1..=1000, 16),
    },
];

impl Fault {
    /// Its row of the table.
    pub fn info(self) -> &'static FaultInfo {
        &TABLE[self as usize]
    }

    /// The fault of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|info| info.name == name).map(|info| info.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_sequence_of_variants_and_names_are_unique() {
        for (place, info) in TABLE.iter().enumerate() {
            assert_eq!(info.fault as usize, place);
            assert_eq!(Fault::from_name(info.name), Some(info.fault), "{}", info.name);
            assert!(info.value.as_ref().is_none_or(|value| value.range.contains(&value.default)), "{}", info.name);
        }
    }
}
