//! `dice mystery`: an incident to find out. The crate `mystery` knows incidents and judges answers; here are the commands,
//! and what they write.

mod play;

use std::path::Path;
use std::process::ExitCode;

use anyhow::ensure;
use lessons::wrapped;
use mystery::{Answer, Evidence, Files, Incident, LEVELS, MOST_POINTS, Score, Verdict, Viewer, mechanisms};
use reqwest::Url;
use serde_json::json;
use service::settings::{PortOffset, base_url, within};
use telemetry::visible;

use crate::config;
use crate::show::{not_readable, print_json};
use crate::supervisor;
use crate::terminal::{TEXT_WIDTH, print};

pub(crate) use play::Play;

/// Starts the system with traffic, in which after some healthy traces one thing may go wrong. Find out what, and where.
///
/// `mystery mechanisms` lists what can be wrong, `mystery answer` says whether you are right.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[group(skip)] // clap names a group after the struct, and the launcher's has the same name
pub(crate) struct Config {
    #[command(subcommand)]
    action: Option<Action>,

    /// Which incident: the same seed and level are the same one; without it a random one
    #[arg(long, value_parser = within(0..=u64::MAX))]
    seed: Option<u64>,

    /// How much has to be found out: 1 shows in one trace, 3 takes several, or the metrics
    #[arg(long, default_value_t = 1, value_parser = within(LEVELS))]
    level: u8,

    /// Longest simulated work of a roll in milliseconds, which some incidents lengthen
    #[arg(long, env = "ROLL_DELAY_MAX_MS", default_value_t = 400, value_parser = within(10..=20_000_u64))]
    roll_delay_max_ms: u64,

    #[command(flatten)]
    launcher: config::Config,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Answer(AnswerConfig),
    Mechanisms(MechanismsConfig),
}

/// Judges an answer to the incident that runs, and reveals what was wrong. The first answer counts.
///
/// Exit status: 0 where all is right, 1 where something is not, 2 where there is nothing to judge.
#[derive(Debug, clap::Args)]
struct AnswerConfig {
    /// The service in which it is: frontend, dice-roller, die-service; none where nothing is wrong
    #[arg(long, value_name = "SERVICE")]
    culprit: String,

    /// What is wrong: a name that `mystery mechanisms` lists
    #[arg(long, value_name = "NAME")]
    mechanism: String,

    /// Where it shows: a trace id, or a query in TraceQL that returns such a trace
    #[arg(long, value_name = "TRACE_ID_OR_QUERY", value_parser = Evidence::parse)]
    evidence: Evidence,

    /// Write one JSON object: right, culprit, mechanism, evidence, evidence_query, score and more
    #[arg(long)]
    json: bool,

    /// Backend with Tempo's query API that has the traces; by default the trace viewer of the incident
    #[arg(long, env = "TEMPO_URL", value_parser = base_url)]
    tempo_url: Option<Url>,

    #[command(flatten)]
    port_offset: PortOffset,
}

/// Lists what can be wrong, by the names that an answer uses.
#[derive(Debug, clap::Args)]
struct MechanismsConfig {
    /// Write a JSON list of name and sentence
    #[arg(long)]
    json: bool,
}

impl Config {
    /// Whether this is the launcher, and not one of its clients.
    pub(crate) fn starts_system(&self) -> bool {
        self.action.is_none()
    }
}

/// Starts an incident, or does what the subcommand says.
pub(crate) fn run(config: Config) -> anyhow::Result<ExitCode> {
    match config.action {
        None => {
            let incident = Incident::new(config.seed.unwrap_or_else(play::random_seed), config.level);
            let files = files(config.launcher.port_offset);
            let seed = config.seed.map_or_else(String::new, |seed| format!(" --seed {seed}"));
            let level = if config.level == 1 { String::new() } else { format!(" --level {}", config.level) };
            let command = format!("cargo run -- mystery{seed}{level}");
            let play = Play::new(incident, config.roll_delay_max_ms, &files, command)?;
            supervisor::run(&config.launcher, Some(&play)).map(|()| ExitCode::SUCCESS)
        }
        Some(Action::Answer(answer)) => Ok(judge(&answer).unwrap_or_else(|error| not_readable(&error))),
        Some(Action::Mechanisms(MechanismsConfig { json })) => Ok(list(json)),
    }
}

fn files(port_offset: u16) -> Files {
    Files::new(Path::new(""), port_offset)
}

fn list(json: bool) -> ExitCode {
    if json {
        let all = mechanisms().map(|mechanism| json!({ "name": mechanism.name, "sentence": mechanism.sentence }));
        return print_json(&all.collect::<Vec<_>>());
    }
    let line = |m: &mystery::Mechanism| {
        let sentence = wrapped(m.sentence, TEXT_WIDTH, 34);
        format!("  {:<19}{:<13}{}", m.name, m.culprit, sentence.trim_start())
    };
    print(&format!("What can be wrong, and in which service:\n\n{}", mechanisms().map(line).collect::<String>()));
    ExitCode::SUCCESS
}

fn judge(config: &AnswerConfig) -> anyhow::Result<ExitCode> {
    let AnswerConfig { culprit, mechanism, evidence, .. } = config;
    let answer = Answer { culprit: culprit.clone(), mechanism: mechanism.clone(), evidence: evidence.clone() };
    answer.check()?;
    let files = files(config.port_offset.port_offset);
    let running = files.running()?;
    ensure!(running.since > 0, "the incident has not begun: its launcher says when it has");
    // One TLS implementation for every client of the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let viewer = Viewer::new(config.tempo_url.clone().map_or_else(|| Url::parse(&running.viewer), Ok)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verdict = runtime.block_on(answer.judge(&running, &viewer))?;
    let scored = Score::add(&files, &running, verdict.score);
    if let Err(error) = &scored {
        eprintln!("The score is not kept: {}", visible(&format!("{error:#}")));
    }
    if config.json {
        let written = print_json(&verdict);
        ensure!(written == ExitCode::SUCCESS, "the answer cannot be written");
    } else {
        print(&told(&verdict, scored.ok()));
    }
    Ok(ExitCode::from(u8::from(!verdict.right)))
}

/// The verdict for a person.
fn told(verdict: &Verdict, score: Option<(Score, bool)>) -> String {
    let correct = verdict.correct;
    let parts = [("culprit", correct.culprit), ("mechanism", correct.mechanism), ("evidence", correct.evidence)];
    let parts = parts.map(|(part, right)| format!("{part} {}", if right { "right" } else { "wrong" })).join(", ");
    let mut text = match verdict.right {
        true => format!("Right: {parts}.\n"),
        false => format!("Not right: {parts}.\n"),
    };
    let mut add = |title: &str, content: String| text += &format!("\n{title}\n{content}");
    add("What was wrong", paragraphs(&verdict.sentence));
    if let Some(statement) = &verdict.statement {
        add("What does not hold in the evidence", indented(statement));
    }
    match (&verdict.evidence, &verdict.comparison, &verdict.compare_url) {
        (Some(_), Some(comparison), Some(url)) => {
            add("A healthy trace (A) beside it (B)", paragraphs(&format!("{comparison}\n{url}")))
        }
        (Some(id), ..) => {
            add("Evidence", paragraphs(&format!("{id}; the viewer holds no healthy trace of the same kind")))
        }
        (None, ..) => add("Evidence", paragraphs("the viewer holds none any more")),
    }
    add("A query whose results show it", indented(&verdict.evidence_query));
    add("Odd, and harmless", paragraphs(&verdict.decoys.join("\n")));
    if let Some((score, counts)) = score {
        let (points, most, incidents) = score.total();
        let of = if incidents == 1 { "one incident".to_owned() } else { format!("{incidents} incidents") };
        let again = if counts { "" } else { "; this one was answered before, and the first answer counts" };
        let points = format!("{} of {MOST_POINTS} points; {points} of {most} in {of}{again}", verdict.score);
        let points = wrapped(&points, TEXT_WIDTH, 0);
        text += &format!("\n{points}Another one: stop this with Ctrl-C, and start `cargo run -- mystery` again\n");
    }
    text
}

/// Two spaces before each line, and nothing that controls the terminal: names in bars come from outside.
fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {}\n", visible(line))).collect()
}

/// The same, with lines that fit a terminal.
fn paragraphs(text: &str) -> String {
    text.trim_end().lines().map(|line| wrapped(&visible(line), TEXT_WIDTH, 2)).collect()
}
