//! `dice learn` as a learner has it: in a checkout, with cargo.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lessons::Lesson;
use serde_json::Value;
use test_support::{NOWHERE, Process, Signal, eventually, http, skip};

/// The programs of all tests have the same place in the folder `target`, which they share with the tests so that no
/// dependency is compiled again.
static BUILDS: Mutex<()> = Mutex::new(());

/// A checkout of its own: the packages of this one, and an empty folder for the learner.
struct Checkout {
    root: PathBuf,
    _builds: MutexGuard<'static, ()>,
}

impl Checkout {
    fn new(name: &str) -> Self {
        let _builds = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
        // Outside of `target`, where cargo would take a file of one checkout for that of another.
        let root = std::env::temp_dir().join(format!("dice-learn-{}-{name}", std::process::id()));
        fs::create_dir_all(root.join("learning/src/bin")).unwrap();
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        for shared in ["Cargo.toml", "crates"] {
            symlink(here.join(shared), root.join(shared)).unwrap();
        }
        for file in ["Cargo.lock", "learning/src/lib.rs"] {
            fs::copy(here.join(file), root.join(file)).unwrap();
        }
        // Of another version, so that cargo never takes a program of a test for one of yours.
        let manifest = fs::read_to_string(here.join("learning/Cargo.toml")).unwrap();
        let other = manifest.replace("version.workspace = true\nedition", "version = \"0.0.0\"\nedition");
        assert_ne!(manifest, other);
        fs::write(root.join("learning/Cargo.toml"), other).unwrap();
        Self { root, _builds }
    }

    /// `program` in it.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", target);
        command.env("TEMPO_URL", NOWHERE).env("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE).stdin(Stdio::null());
        command
    }

    fn learn(&self, args: &[&str]) -> Finished {
        Finished::of(self.command(env!("CARGO_BIN_EXE_dice")).arg("learn").args(args).output().unwrap())
    }

    /// Writes the learner's file of lesson 1.
    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.root.join("learning/src/bin/01_first_span.rs")
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

#[derive(Debug)]
struct Finished {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Finished {
    fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { status: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    #[track_caller]
    fn says(&self, status: i32, texts: &[&str]) {
        assert_eq!(self.status, Some(status), "{}\n{}", self.stdout, self.stderr);
        for text in texts {
            assert!(self.stdout.contains(text), "no {text:?} in:\n{}\n{}", self.stdout, self.stderr);
        }
    }
}

fn solution(slug: &str) -> String {
    let path = format!("{}/../lessons/lessons/{slug}/solution.rs", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(path).unwrap()
}

#[test]
fn learner_goes_from_not_yet_to_passed_and_keeps_the_file() {
    let checkout = Checkout::new("passes");
    checkout.learn(&[]).says(0, &["Lessons: 0 of ", "  →  1  A first span\n", "Next: cargo run -- learn 1\n"]);
    let first = checkout.learn(&["1"]);
    first.says(1, &["A shop sends parcels.", "a copy of the exercise", "Not yet: one span", "No span has arrived."]);
    assert_eq!(first.stdout.matches("Hint: ").count(), 1, "{}", first.stdout);
    assert!(!first.stdout.contains("Predict"), "nobody could reply: {}", first.stdout);
    assert_eq!(fs::read_to_string(checkout.file()).unwrap(), Lesson::find("1").unwrap().exercise);

    let hints = checkout.learn(&["1", "--hint"]);
    hints.says(1, &[]);
    assert!(hints.stdout.matches("Hint: ").count() > 1 && !hints.stdout.contains("A shop"), "{}", hints.stdout);

    let next = format!("Next: cargo run -- learn {}", Lesson::all()[1].number());
    checkout.write(&solution("01-first-span"));
    checkout.learn(&["first-span"]).says(0, &["Passed.\n\n  pack │", &next]);
    checkout.learn(&[]).says(0, &["Lessons: 1 of ", "  ✓  1  A first span\n  →  ", &next]);
    assert_eq!(fs::read_to_string(checkout.file()).unwrap(), solution("01-first-span"));

    checkout.learn(&["1", "--reset"]).says(1, &["a copy of the exercise"]);
    let old = checkout.file().with_extension("rs.old");
    assert_eq!(fs::read_to_string(old).unwrap(), solution("01-first-span"));
}

#[test]
fn program_that_does_not_compile_is_2_with_the_message_of_rustc() {
    let checkout = Checkout::new("compiles");
    checkout.write("fn main() { let number: u8 = \"a\"; }");
    let finished = checkout.learn(&["1"]);
    finished.says(2, &["It does not compile yet."]);
    assert!(finished.stderr.contains("learning/src/bin/01_first_span.rs:1:30"), "{}", finished.stderr);
    assert!(finished.stderr.contains("expected `u8`, found `&str`"), "{}", finished.stderr);

    // `cargo run` does not build it.
    let metadata = checkout.command("cargo").args(["metadata", "--no-deps", "--offline", "--quiet"]).output().unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let default = metadata["workspace_default_members"].as_array().unwrap();
    assert!(default.len() == 1 && default[0].as_str().unwrap().contains("/dice#"), "{default:?}");
}

#[test]
fn another_file_is_checked_without_a_trace_of_it_in_the_checkout() {
    let checkout = Checkout::new("file");
    let file = checkout.root.join("mine.rs");
    fs::write(&file, solution("03-await-in-a-loop")).unwrap();
    checkout.learn(&["3", "--file", "mine.rs"]).says(0, &["Checking mine.rs", "Passed."]);
    checkout.learn(&[]).says(0, &["Lessons: 0 of "]);
    fs::write(&file, "fn main() { missing(); }").unwrap();
    let finished = checkout.learn(&["3", "--file", "mine.rs"]);
    finished.says(2, &[]);
    assert!(finished.stderr.contains("--> mine.rs:1:13"), "{}", finished.stderr);
    assert_eq!(fs::read_dir(checkout.root.join("learning/src/bin")).unwrap().count(), 0);

    // A check that was killed leaves its copy; the next one removes it.
    fs::write(checkout.root.join("learning/src/bin/01_first_span_file.rs"), "no program").unwrap();
    checkout.learn(&["3", "--file", "mine.rs"]).says(2, &[]);
    assert_eq!(fs::read_dir(checkout.root.join("learning/src/bin")).unwrap().count(), 0);
}

#[test]
fn program_without_end_is_ended_with_what_it_started() {
    let checkout = Checkout::new("endless");
    let seconds = 1_000_000 + std::process::id();
    let text = r#"
        fn main() {
            let _telemetry = learning::start();
            let sleep = std::process::Command::new("sleep").arg("SECONDS").spawn();
            println!("started: {}", sleep.is_ok());
            loop { println!("\u{1b}[2J{}", "x".repeat(10_000)); }
        }"#;
    checkout.write(&text.replace("SECONDS", &seconds.to_string()));
    let finished = checkout.learn(&["1", "--limit-seconds", "2"]);
    let ended = "it was ended at its time limit of 2 s";
    finished.says(1, &["started: true", "  … and more; only the beginning is kept\n", "Not yet: ends", ended]);
    assert!(finished.stdout.len() < 20_000 && !finished.stdout.contains('\u{1b}'), "{}", finished.stdout.len());
    assert!(!sleeps(seconds));

    let mut command = checkout.command(env!("CARGO_BIN_EXE_dice"));
    command.args(["learn", "1"]);
    let mut process = Process::spawn(command).unwrap();
    eventually("the program runs", || sleeps(seconds).then_some(()));
    process.wait_for(|line| line == "Your program is still running; it is ended after 30 s.");
    process.signal(Signal::SIGINT);
    assert_eq!(process.wait().code(), Some(130), "{}", process.text());
    assert!(!sleeps(seconds));
}

/// Whether a process `sleep` with this argument runs.
fn sleeps(seconds: u32) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let line = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        line == format!("sleep\0{seconds}\0")
    })
}

#[test]
fn flood_of_spans_is_bounded_and_named() {
    let checkout = Checkout::new("flood");
    checkout.write(
        r#"
        fn main() {
            let telemetry = learning::start();
            let long = "x".repeat(1000);
            for i in 0..200_000 {
                tracing::info_span!("flood", long).in_scope(|| ());
                if i % 1000 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(5)); // else the exporter drops nearly all
                }
            }
            drop(telemetry);
        }"#,
    );
    let mut command = checkout.command(env!("CARGO_BIN_EXE_dice"));
    command.args(["learn", "1", "--limit-seconds", "60"]);
    let mut process = Process::spawn(command).unwrap();
    let mut peak = 0;
    while process.exited().unwrap().is_none() {
        peak = peak.max(peak_kilobytes(process.id()).unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let finished = process.finish();
    assert_eq!(finished.status.code(), Some(1), "{}{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.contains("Not yet: not too many"), "{}", finished.stdout);
    assert!((1000..400_000).contains(&peak), "{peak} kB");
}

/// The most memory that a process has had; none when it has exited.
fn peak_kilobytes(process: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn what_is_no_lesson_or_no_checkout_is_one_line() {
    let checkout = Checkout::new("none");
    let line = |finished: Finished, text: &str| {
        assert_eq!((finished.status, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
        assert!(finished.stderr.contains(text) && finished.stderr.lines().count() == 1, "{}", finished.stderr);
    };
    for wrong in ["99", "0", "-1", "first", "\u{1b}[2J", "1.5", ""] {
        line(checkout.learn(&["--", wrong]), "there is no lesson");
    }
    line(checkout.learn(&["1", "--file", "missing.rs"]), "missing.rs: No such file");
    line(checkout.learn(&["1", "--file", "."]), "directory");
    let elsewhere = checkout.command(env!("CARGO_BIN_EXE_dice")).current_dir("/").arg("learn").output().unwrap();
    line(Finished::of(elsewhere), "lessons need a checkout of this repository");
    let mut without_cargo = checkout.command(env!("CARGO_BIN_EXE_dice"));
    let finished = Finished::of(without_cargo.args(["learn", "1"]).env("CARGO", "/missing/cargo").output().unwrap());
    assert_eq!(finished.status, Some(2), "{finished:?}");
    assert!(finished.stderr.contains("lessons are built with cargo, and /missing/cargo"), "{}", finished.stderr);
}

#[test]
fn file_that_cannot_be_written_is_named_in_one_line() {
    // A folder in the place of the file: permissions would not hold for root.
    for (file, args) in [
        ("learning/.lock", &["1"][..]),
        ("learning/src/bin/01_first_span.rs.old", &["1", "--reset"]),
        ("learning/src/bin/01_first_span_file.rs", &["1", "--file", "mine.rs"]),
    ] {
        let checkout = Checkout::new("unwritable");
        checkout.write("fn main() {}");
        fs::write(checkout.root.join("mine.rs"), "fn main() {}").unwrap();
        fs::create_dir_all(checkout.root.join(file).join("full")).unwrap();
        let finished = checkout.learn(args);
        assert_eq!((finished.status, finished.stdout.as_str()), (Some(2), ""), "{finished:?}");
        let expected = format!("error: {file} cannot be written: ");
        assert!(finished.stderr.starts_with(&expected) && finished.stderr.lines().count() == 1, "{}", finished.stderr);
    }
}

#[test]
fn broken_progress_is_moved_aside() {
    let checkout = Checkout::new("progress");
    let path = checkout.root.join("learning/progress.json");
    for broken in ["", "{", "[1]", "{\"passed\": 5}"] {
        fs::write(&path, broken).unwrap();
        let list = checkout.learn(&[]);
        list.says(0, &["Lessons: 0 of "]);
        assert_eq!(list.stderr.lines().count(), 1, "{}", list.stderr);
        assert_eq!(fs::read_to_string(path.with_extension("json.broken")).unwrap(), broken);
    }
    let unknown = r#"{"passed": ["01-first-span", "77-of-another-version"], "more": 1}"#;
    fs::write(&path, unknown).unwrap();
    checkout.learn(&[]).says(0, &["Lessons: 1 of "]);
}

#[test]
fn trace_is_compared_with_the_reference_by_a_link_or_by_a_command() {
    let checkout = Checkout::new("compare");
    checkout.write(&solution("01-first-span"));
    let finished = checkout.learn(&["1"]);
    finished.says(
        0,
        &["cargo run -- compare learning/traces/01_first_span.json \\\n", "a click on a bar shows its attributes"],
    );
    let (_, rest) = finished.stdout.split_once("compare ").unwrap();
    let files: Vec<_> = rest.split_whitespace().filter(|word| word.ends_with(".json")).collect();
    let compared =
        checkout.command(env!("CARGO_BIN_EXE_dice")).args(["compare", "--json"]).args(files).output().unwrap();
    let difference: Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!(difference["same_structure"], true, "{difference}");

    let viewer = Process::start(
        env!("CARGO_BIN_EXE_dice"),
        &["trace-viewer", "--port", "0", "--otlp-port", "0", "--otlp-grpc-port", "0"],
        &[],
    );
    let (pages, otlp) = (viewer.url("address"), viewer.url("otlp_address"));
    let ids = || {
        let finished = checkout.learn(&["1", "--tempo-url", &pages, "--otel-exporter-otlp-endpoint", &otlp]);
        finished.says(0, &[&format!("Your trace beside the reference (of a run with other values): {pages}/compare/")]);
        let (_, ids) = finished.stdout.split_once("/compare/").unwrap();
        ids.split_whitespace().next().unwrap().to_owned()
    };
    let (earlier, ids) = (ids(), ids());
    let page = http::get(format!("{pages}/view/compare/{ids}"));
    assert_eq!(page.status, 200, "{}", page.text());
    let spans = |id: &str| http::get(format!("{pages}/api/traces/{id}")).text().matches("\"name\":\"pack\"").count();
    let (yours, reference) = ids.split_once('/').unwrap();
    assert_eq!((spans(yours), spans(reference)), (1, 1));
    assert!(!earlier.ends_with(reference), "two checks have the same reference: {ids}");
}

#[test]
fn prediction_is_asked_once_at_a_terminal() {
    let found = skip::runs(Command::new("script").arg("--version"), "Debian: apt-get install bsdutils");
    if skip::unless(found, "REQUIRE_SCRIPT").is_none() {
        return;
    }
    let checkout = Checkout::new("predicts");
    let at_a_terminal = |typed: &str| {
        let command = format!("'{}' learn 1", env!("CARGO_BIN_EXE_dice"));
        let mut script = checkout.command("script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        Finished::of(child.wait_with_output().unwrap())
    };
    at_a_terminal("longer\u{7}, I think\n").says(1, &["Predict:", "The packing", "You predicted: longer"]);
    let second = at_a_terminal("\n");
    second.says(1, &[]);
    assert!(!second.stdout.contains("Predict"), "{}", second.stdout);
    checkout.write(&solution("01-first-span"));
    checkout.learn(&["1"]).says(0, &["You predicted: longer"]);
}
