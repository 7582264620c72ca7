//! That incidents can be solved from what the system shows, and not by luck.

use std::sync::Mutex;

use mystery::mechanisms;
use solver::{Conclusion, Recording, System};

use crate::play::{Play, fresh};
use crate::sealed::shows_no_fault;

/// Traces that arrive before the solver looks; with those from before it looks at no more than 120.
const TRACES: u64 = 80;

/// What came of one incident.
#[derive(Debug)]
struct Outcome {
    #[allow(dead_code)] // for the message of a failed test
    incident: String,
    healthy: bool,
    solved: bool,
    guessed: bool,
}

fn record(play: &Play) -> Recording {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(System::local(play.ports.offset).unwrap().record()).unwrap()
}

fn outcome(mechanism: &str) -> Outcome {
    let (seed, level) = fresh(mechanism);
    let mut play = Play::start(seed, level, &[("LOG_FORMAT", "json")]);
    play.wait_for_traces(TRACES);
    shows_no_fault(&play);
    let recording = record(&play);
    let (conclusion, guess) = (solver::solve(&recording), solver::slowest_span(&recording));
    let right = |Conclusion { culprit, mechanism, evidence }: &Conclusion| play.answer(culprit, mechanism, evidence);
    let (solved, verdict) = right(&conclusion);
    let (guessed, _) = right(&guess);
    play.stop();
    let said = format!("{conclusion:?}, the slowest span {guess:?}, {}", verdict["correct"]);
    eprintln!("seed {seed} level {level} {mechanism}: {solved}, {guessed}: {said}");
    Outcome {
        incident: format!("{mechanism} (seed {seed}, level {level}): {said}"),
        healthy: mechanism == solver::HEALTHY,
        solved,
        guessed,
    }
}

/// Two at a time: a system waits more than it computes.
fn outcomes(mechanisms: Vec<&'static str>) -> Vec<Outcome> {
    let (pending, done) = (Mutex::new(mechanisms), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(mechanism) = { pending.lock().unwrap().pop() } {
                    let outcome = outcome(mechanism);
                    done.lock().unwrap().push(outcome);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

#[test]
fn solver_solves_fresh_incidents_accuses_nobody_in_healthy_ones_and_the_slowest_span_says_little() {
    let faults = mechanisms().map(|mechanism| mechanism.name).filter(|name| *name != solver::HEALTHY);
    let outcomes = outcomes(faults.chain([solver::HEALTHY; 3]).collect());
    let count = |of: fn(&&Outcome) -> bool| outcomes.iter().filter(of).count();
    let (solved, guessed) = (count(|o| o.solved && !o.healthy), count(|o| o.guessed && !o.healthy));
    eprintln!("solved {solved} of 12, by the slowest span {guessed} of 12");
    assert_eq!(count(|o| o.healthy && o.solved), 3, "{outcomes:#?}");
    assert!(solved >= 10, "{solved} of 12: {outcomes:#?}");
    assert!(guessed <= 4, "{guessed} of 12: {outcomes:#?}");
}
