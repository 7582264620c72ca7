//! Proves every lesson: the exercise fails with a hint, the solution and every other right program pass, each wrong one
//! fails with another statement than the exercise, or says in its first line why it is the same.
//!
//! All programs are compiled into this one, and it starts itself once for each, with `LESSON_VARIANT` naming it:
//! a hundred programs of their own would take many minutes to link.
//! `RECORD_REFERENCES=1` writes the `reference.json` of each lesson from a run of its solution.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a test

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lessons::{Failed, Lesson, Program, Run};

include!(concat!(env!("OUT_DIR"), "/variants.rs"));

/// A program of a lesson: `exercise`, `solution`, `wrong_…` or `other_…`.
struct Variant {
    slug: &'static str,
    name: &'static str,
    start: fn() -> ExitCode,
}

const VARIANT: &str = "LESSON_VARIANT";

/// The values of a run with which the reference is recorded.
const REFERENCE_SEED: u64 = 1;

/// As long as the learner's program may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The process of one program. It is no test by itself.
#[test]
#[ignore = "started by the other tests, in a process of its own"]
#[allow(clippy::disallowed_methods)]
fn variant() {
    let Ok(wanted) = std::env::var(VARIANT) else { return };
    let found = VARIANTS.iter().find(|variant| format!("{}/{}", variant.slug, variant.name) == wanted).expect(&wanted);
    if (found.start)() != ExitCode::SUCCESS {
        std::process::exit(1); // as its `main` would; a failed test has another status
    }
}

fn run(lesson: &Lesson, name: &str, seed: u64) -> Run {
    let program = Program {
        path: std::env::current_exe().unwrap(),
        args: ["--exact", "variant", "--ignored", "--nocapture", "--quiet"].map(str::to_owned).into(),
        environment: vec![(VARIANT.to_owned(), format!("{}/{name}", lesson.slug))],
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Run::of(lesson, &program, seed, LIMIT)).unwrap()
}

/// The name of the step and those of the statements.
fn statement(failed: &Failed) -> String {
    format!("{}: {}", failed.step, failed.report.statements().join(", "))
}

fn prove(slug: &str) {
    let lesson = Lesson::find(slug).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lessons").join(slug);
    let names: Vec<_> = VARIANTS.iter().filter(|variant| variant.slug == slug).map(|variant| variant.name).collect();
    let count = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    assert!(count("wrong_") >= 2 && count("other_") >= 1, "{slug} needs two wrong_*.rs and one other_*.rs: {names:?}");

    let exercise = run(lesson, "exercise", seed());
    let of_exercise = exercise.failed.as_ref().unwrap_or_else(|| panic!("{slug}: the exercise passes"));
    println!("{slug} exercise: {}", statement(of_exercise));
    for name in names {
        let run = run(lesson, name, seed());
        match (&run.failed, name.starts_with("wrong_") || name == "exercise") {
            (Some(failed), false) => {
                panic!("{slug} {name} fails, step {}:\n{}\n{:?}", failed.step, failed.report, run.output)
            }
            (None, true) => panic!("{slug} {name} passes"),
            (None, false) => println!("{slug} {name}: passes"),
            (Some(failed), true) => {
                println!("{slug} {name}: {}", statement(failed));
                let same = name != "exercise" && statement(failed) == statement(of_exercise);
                assert!(
                    !same || says_why(&folder, name),
                    "{slug} {name} fails as the exercise does: {}",
                    failed.report
                );
            }
        }
    }
    reference(lesson, &folder.join("reference.json"));
}

/// Whether the first line of a wrong program is `// Same statement as the exercise: …`.
fn says_why(folder: &Path, name: &str) -> bool {
    let text = std::fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
    text.starts_with("// Same statement as the exercise: ")
}

/// The reference is a trace of the solution as it is now.
#[allow(clippy::disallowed_methods)]
fn reference(lesson: &Lesson, path: &PathBuf) {
    let run = run(lesson, "solution", REFERENCE_SEED);
    assert!(run.failed.is_none(), "{}: {:?}", lesson.slug, run.failed);
    if std::env::var("RECORD_REFERENCES").is_ok() {
        std::fs::write(path, run.json().unwrap()).unwrap();
    }
    let read = tempo_client::read_file(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let recorded: Vec<_> = read.into_iter().flat_map(|trace| trace.spans).collect();
    let tree = |trace: &trace_analysis::Tree| {
        let mut lines: Vec<_> =
            trace.order.iter().map(|(i, depth)| format!("{}{}", "  ".repeat(*depth), trace.spans[*i].name)).collect();
        lines.sort();
        lines
    };
    let recorded = tempo_client::Trace { spans: recorded, ..Default::default() }.analysed();
    assert_eq!(tree(&recorded), tree(run.trace.tree()), "record {} again: RECORD_REFERENCES=1", path.display());
}

/// Another one in each run.
fn seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}
