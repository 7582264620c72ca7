//! What looks odd in a system and is harmless, as every real system has some of.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::plan::Incident;

/// Something odd and harmless.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoy {
    /// For the reveal: what it is, and why it is harmless.
    pub sentence: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    LoadedDie,
    BrittleDie,
    LongRolls,
    Label,
    UnknownDie,
    OneAtATime,
}

/// All of them.
pub(crate) const DECOYS: &[Decoy] = &[
    Decoy { kind: Kind::LoadedDie, sentence: "The die 'loaded' shows 6 most of the time: its specification says so." },
    Decoy {
        kind: Kind::BrittleDie,
        sentence: "The die 'brittle' fails often: its specification declares that error_rate, and the failures are \
                   reported as such.",
    },
    Decoy {
        kind: Kind::LongRolls,
        sentence: "Rolls take longer than the default: ROLL_DELAY_MAX_MS is set, and holds for every roll.",
    },
    Decoy {
        kind: Kind::Label,
        sentence: "One service says deployment.environment.name=canary, the others do not: a label, nothing else.",
    },
    Decoy {
        kind: Kind::UnknownDie,
        sentence: "Somebody rolls a die that does not exist, and gets 404: a mistake of that client.",
    },
    Decoy {
        kind: Kind::OneAtATime,
        sentence: "Somebody rolls batches one after the other: the request has concurrency=1, and async.concurrency \
                   says so.",
    },
];

/// The settings with which an incident's system starts, beside those that every system has. The fault is not among
/// them: it is switched on later.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Of every service.
    pub environment: Vec<(&'static str, String)>,
    /// Of one service: its name, the variable, the value.
    pub of_one: Option<(&'static str, &'static str, String)>,
    /// The content of `DIE_SPECIFICATIONS`.
    pub specifications: Value,
    /// The dice that the traffic rolls, each equally likely.
    pub dice: Vec<&'static str>,
    /// Whether a client rolls batches with `concurrency=1`.
    pub one_at_a_time: bool,
}

impl Incident {
    /// The settings of this incident; `roll_delay` is what `ROLL_DELAY_MAX_MS` is otherwise.
    pub fn setup(&self, mut roll_delay: u64) -> Setup {
        let mut rng = StdRng::seed_from_u64(self.chance);
        let mut setup = Setup {
            environment: Vec::new(),
            of_one: None,
            specifications: json!({
                "fair": { "faces": [1, 2, 3, 4, 5, 6], "error_rate": 0 },
                "risky": { "faces": [2, 3, 4, 5, 6, 7], "error_rate": 0.1 },
            }),
            // Enough failures to be seen, and not so many that they are all that one sees.
            dice: vec!["fair", "fair", "risky"],
            one_at_a_time: false,
        };
        for decoy in &self.decoys {
            match decoy.kind {
                Kind::LoadedDie => {
                    setup.specifications["loaded"] = json!({ "faces": [6, 6, 6, 6, 1], "error_rate": 0 });
                    setup.dice.push("loaded");
                }
                Kind::BrittleDie => {
                    let percent = rng.random_range(30..=50);
                    let error_rate = f64::from(percent) / 100.0;
                    setup.specifications["brittle"] = json!({ "faces": [1, 2, 3], "error_rate": error_rate });
                    setup.dice.push("brittle");
                }
                Kind::LongRolls => roll_delay = roll_delay * rng.random_range(15..=25) / 10,
                Kind::Label => {
                    let services = crate::SERVICES;
                    let service = services[rng.random_range(..services.len())];
                    setup.of_one =
                        Some((service, "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=canary".to_owned()));
                }
                Kind::UnknownDie => setup.dice.push("unknown"),
                Kind::OneAtATime => setup.one_at_a_time = true,
            }
        }
        setup.environment.push(("ROLL_DELAY_MAX_MS", roll_delay.to_string()));
        setup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoys_change_only_what_they_say() {
        let none = Incident { decoys: Vec::new(), ..Incident::new(1, 1) };
        for decoy in DECOYS {
            let with = Incident { decoys: vec![decoy], ..none.clone() }.setup(100);
            let plain = none.setup(100);
            let changed = [
                with.environment != plain.environment,
                with.of_one != plain.of_one,
                with.specifications != plain.specifications,
                with.dice != plain.dice,
                with.one_at_a_time != plain.one_at_a_time,
            ];
            let expected = match decoy.kind {
                Kind::LongRolls => [true, false, false, false, false],
                Kind::Label => [false, true, false, false, false],
                Kind::LoadedDie | Kind::BrittleDie => [false, false, true, true, false],
                Kind::UnknownDie => [false, false, false, true, false],
                Kind::OneAtATime => [false, false, false, false, true],
            };
            assert_eq!(changed, expected, "{}", decoy.sentence);
        }
    }

    #[test]
    fn every_die_that_is_rolled_exists_but_the_unknown_one() {
        let all = Incident { decoys: DECOYS.iter().collect(), ..Incident::new(1, 1) }.setup(100);
        let unknown: Vec<_> = all.dice.iter().filter(|die| all.specifications.get(die).is_none()).collect();
        assert_eq!(unknown, [&"unknown"]);
    }
}
