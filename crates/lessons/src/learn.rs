//! The whole of `dice learn`: show a lesson, build the learner's program, run it, say what is right or missing.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use rand::RngExt as _;

use crate::checkout::{Checkout, not_written};
use crate::compile::compile;
use crate::config::Config;
use crate::lesson::Lesson;
use crate::progress::Progress;
use crate::run::{Interrupted, Program, Run};
use crate::screen::{self, print};
use crate::viewer;

/// Characters of a prediction.
const MAX_PREDICTION: u64 = 500;

/// A program that runs for longer is said to: the learner would otherwise see nothing until its limit.
const SILENT: Duration = Duration::from_secs(5);

/// As the shell has it for a program that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// Exit status 0 passed, 1 not yet, 2 when the program does not compile, or when there is no such lesson.
pub fn learn(config: &Config) -> ExitCode {
    let result = Checkout::find().and_then(|checkout| match &config.lesson {
        None => {
            print(&screen::list(&Progress::read(&checkout).passed));
            Ok(ExitCode::SUCCESS)
        }
        Some(lesson) => {
            let last = Lesson::all().last().map_or(0, Lesson::number);
            let found = Lesson::find(lesson);
            let found = found.with_context(|| format!("there is no lesson {lesson:?}: the lessons are 1 to {last}"))?;
            check(config, &checkout, found)
        }
    });
    result.unwrap_or_else(|error| {
        if error.is::<Interrupted>() {
            return ExitCode::from(INTERRUPTED);
        }
        eprintln!("error: {}", telemetry::visible(&format!("{error:#}")));
        ExitCode::from(2)
    })
}

fn check(config: &Config, checkout: &Checkout, lesson: &Lesson) -> anyhow::Result<ExitCode> {
    let _lock = checkout.lock()?;
    let source = match &config.file {
        Some(file) => checkout.copy(lesson, file)?,
        None => checkout.source(lesson, config.reset)?,
    };
    print(&screen::lesson(lesson, source.is_new));
    let mut progress = Progress::read(checkout);
    let asked = config.file.is_none() && predict(lesson, &mut progress) && progress.keep(checkout).is_ok();
    let shown = if config.file.is_some() { source.shown.clone() } else { checkout.shown(&source.shown) };
    let is_new = if source.is_new { ", a copy of the exercise" } else { "" };
    print(&format!("Checking {shown}{is_new}\n\n"));

    let Some(executable) = compile(&config.cargo, checkout, &source)? else {
        print(&format!("It does not compile yet. cargo run -- learn {} checks it again.\n", lesson.number()));
        return Ok(ExitCode::from(2));
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let program = Program { path: executable, ..Program::default() };
    let limit = Duration::from_secs(config.limit_seconds);
    let run = runtime.block_on(async {
        let mut run = pin!(Run::of(lesson, &program, rand::rng().random(), limit));
        match tokio::time::timeout(SILENT, &mut run).await {
            Ok(run) => run,
            Err(_) => {
                print(&format!("Your program is still running; it is ended after {} s.\n\n", limit.as_secs()));
                run.await
            }
        }
    })?;

    print(&screen::output(&run));
    if let Some(failed) = &run.failed {
        print(&screen::not_yet(failed, run.is_silent(), config.hint));
    } else {
        print(&format!("Passed.\n\n{}", run.trace.bars()));
        if config.file.is_none() {
            progress.passed.insert(lesson.slug.to_owned());
            progress.keep(checkout)?;
        }
    }
    if let Some(prediction) = progress.predictions.get(lesson.slug).filter(|_| asked || run.failed.is_none()) {
        print(&format!("\nYou predicted: {}\n", telemetry::visible(prediction)));
    }
    if !run.is_silent() {
        print(&compare(config, checkout, lesson, &run, &runtime)?);
    }
    print(&next(config, lesson, run.failed.is_none(), &progress, &shown));
    Ok(ExitCode::from(u8::from(run.failed.is_some())))
}

/// Whether the learner was asked what will happen: only once for each lesson, and only at a terminal.
fn predict(lesson: &Lesson, progress: &mut Progress) -> bool {
    let question = lesson.section("Predict");
    let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if !is_terminal || question.is_empty() || progress.predictions.contains_key(lesson.slug) {
        return false;
    }
    print(&format!("Predict:\n{question}\n(One line, or just Enter.) > "));
    let mut line = String::new();
    // What is not read, or is no text, is no prediction.
    let _ = std::io::stdin().lock().take(MAX_PREDICTION).read_line(&mut line);
    print("\n");
    progress.predictions.insert(lesson.slug.to_owned(), line.trim().to_owned());
    !line.trim().is_empty()
}

/// How to see the learner's trace beside the reference.
fn compare(
    config: &Config,
    checkout: &Checkout,
    lesson: &Lesson,
    run: &Run,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<String> {
    let viewer = config.port_offset.url(&config.tempo_url, 3200)?;
    let otlp = config.port_offset.url(&config.otel_exporter_otlp_endpoint, 4318)?;
    let compared = viewer::compare(&viewer, &otlp, &run.received.spans, lesson.reference);
    if let Ok(page) = runtime.block_on(compared) {
        return Ok(format!(
            "\nYour trace beside the reference (of a run with other values): {page}\n\
             It compares names, parents and times; a click on a bar shows its attributes.\n"
        ));
    }
    let yours = format!("learning/traces/{}.json", lesson.target());
    let file = checkout.root.join(&yours);
    let written = std::fs::create_dir_all(checkout.root.join("learning/traces"));
    let json = run.json()?;
    written.and_then(|()| std::fs::write(&file, json)).with_context(|| not_written(Path::new(&yours)))?;
    let reference = format!("crates/lessons/lessons/{}/reference.json", lesson.slug);
    let (yours, reference) = (checkout.shown(&yours), checkout.shown(&reference));
    Ok(format!(
        "\nYour trace beside the reference (of a run with other values):\n  cargo run -- compare {yours} \\\n    {reference}\n\
         (It compares names, parents and times. While `cargo run` runs in another\nterminal, this is a link to a page: \
         a click on a bar shows its attributes.)\n"
    ))
}

fn next(config: &Config, lesson: &Lesson, passed: bool, progress: &Progress, shown: &str) -> String {
    let number = lesson.number();
    if !passed {
        return match config.file {
            None => format!("\nChange {shown}, then: cargo run -- learn {number}\n"),
            Some(_) => format!("\nChange it, then:\n  cargo run -- learn {number} --file {shown}\n"),
        };
    }
    let following = Lesson::all().iter().filter(|other| other.number() > number).chain(Lesson::all());
    match following.into_iter().find(|other| !progress.passed.contains(other.slug) && other.slug != lesson.slug) {
        Some(next) => format!("\nNext: cargo run -- learn {}  ({})\n", next.number(), next.title()),
        None => "\nAll lessons are passed.\n".to_owned(),
    }
}
