//! Runs a learner's program, and receives what it sends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use trace_check::{Selection, Span, Trace};

use crate::lesson::Lesson;
use crate::output::{Output, read};
use crate::receive::{Received, Receiver};
use crate::setup::Random;
use crate::steps::{Failed, Steps};
use crate::upstream::{Request, Upstream};

/// After the program's end, for the last bytes of its output.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// A program that is a learner's, or one like it.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables beside those of the lesson.
    pub environment: Vec<(String, String)>,
}

/// One run of a learner's program, and what was seen of it.
#[derive(Debug)]
pub struct Run {
    /// Its spans and log lines.
    pub trace: Trace,
    /// What it wrote.
    pub output: Output,
    /// None where it was ended at its limit.
    pub status: Option<ExitStatus>,
    /// How it went, in the lesson's view.
    pub failed: Option<Failed>,
    pub(crate) received: Received,
    any_status: bool,
    variables: BTreeMap<&'static str, String>,
    requests: Vec<Request>,
}

/// The person has interrupted the run.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

impl Run {
    /// Runs `program` for `lesson` with the values of `seed`, for `limit` at most, and checks what it did.
    ///
    /// # Errors
    /// When it cannot be started, when its spans cannot be read, or [`Interrupted`].
    pub async fn of(lesson: &Lesson, program: &Program, seed: u64, limit: Duration) -> anyhow::Result<Self> {
        let setup = (lesson.setup)(&mut Random::new(seed));
        let receiver = Receiver::start().await.context("no port for the spans")?;
        let upstream = Upstream::start(setup.upstream).await.context("no port for the upstream")?;
        let mut command = Command::new(&program.path);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"OTEL_") {
                command.env_remove(name); // of the person's shell: a run is the same on each machine
            }
        }
        command
            .args(&program.args)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .envs(&setup.variables)
            .env("UPSTREAM_URL", format!("http://{}", upstream.address))
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", receiver.address))
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{} cannot be started", program.path.display()))?;
        let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
        let status = wait(&mut child, limit).await;
        let output = Output::join(stdout, stderr, LAST_OUTPUT).await;
        let received = receiver.received();
        let trace = trace(&received, &output)?;
        let variables = setup.variables;
        let (any_status, requests) = (setup.any_status, upstream.requests());
        let mut run = Self { trace, output, status: status?, failed: None, received, any_status, variables, requests };
        run.failed = run.check(lesson, limit);
        Ok(run)
    }

    fn check(&self, lesson: &Lesson, limit: Duration) -> Option<Failed> {
        let mut steps = Steps::new(self);
        steps.step("ends", &["The program has to end by itself."], |trace| {
            let found = format!("it was ended at its time limit of {} s", limit.as_secs());
            trace.state("ends", self.status.is_some(), "the program ends", &found);
        });
        steps.step("ends-well", &["What the program wrote to stderr says why."], |trace| {
            let found = self.status.map(|status| status.to_string()).unwrap_or_default();
            let well = self.any_status || self.status.is_some_and(|status| status.success());
            trace.state("ends_well", well, "the program ends with status 0", &found);
        });
        steps.step("not-too-many", &["A lesson needs some dozens of spans. Is one made in a loop?"], |trace| {
            let found = format!("{} more than are kept", self.received.dropped);
            trace.state("not_too_many", self.received.dropped == 0, "spans and log records within reason", &found);
        });
        (lesson.check)(self, &mut steps);
        steps.failed
    }

    /// Whether it sent no span.
    pub fn is_silent(&self) -> bool {
        self.trace.tree().spans.is_empty()
    }

    /// Its spans in OTLP's JSON.
    ///
    /// # Errors
    /// None that a program could cause.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(&self.received.spans)? + "\n")
    }

    /// What the upstream has seen, in the sequence in which it was received.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The most requests that were in progress at the same time.
    pub fn requests_at_once(&self) -> usize {
        let during = |at: u64| self.requests.iter().filter(|other| other.begin <= at && at < other.end).count();
        self.requests.iter().map(|request| during(request.begin)).max().unwrap_or(0)
    }

    /// States that each request was in progress within one of these spans.
    pub fn each_request_inside(&self, trace: &Trace, spans: &Selection<'_>) {
        for request in &self.requests {
            Self::inside("each_request_inside", trace, request, spans, "a span");
        }
    }

    /// States that each request was in progress within its own span, or one of them.
    pub fn each_request_inside_its<'t>(&self, trace: &Trace, of: impl Fn(&Request) -> Selection<'t>) {
        for request in &self.requests {
            Self::inside("each_request_inside_its", trace, request, &of(request), "its own span");
        }
    }

    fn inside(statement: &'static str, trace: &Trace, request: &Request, spans: &Selection<'_>, what: &str) {
        let inside = |span: &Span| span.start <= request.begin && request.end <= span.end;
        let expected = format!("{} {} is within {what}", request.method, request.path);
        trace.state(statement, spans.spans().any(inside), &expected, "it was in progress outside");
    }

    /// A variable of the setup.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A variable that holds a list with commas.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.variable(name).split(',').filter(|item| !item.is_empty()).collect()
    }
}

/// Waits for the end of the program, and ends it, with all that it started, at its limit or when the person interrupts.
async fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let status = tokio::select! {
        status = child.wait() => status.map(Some).map_err(Into::into),
        () = tokio::time::sleep(limit) => Ok(None),
        _ = interrupt.recv() => Err(Interrupted.into()),
        _ = terminate.recv() => Err(Interrupted.into()),
    };
    // What it started may run on after its own end. Of a group without processes this is an error that says so.
    if let Some(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    // A program that has left its group.
    let _ = child.kill().await;
    status
}

fn trace(received: &Received, output: &Output) -> anyhow::Result<Trace> {
    let json = serde_json::to_vec(&received.spans)?;
    let spans = match tempo_client::parse_file(&json) {
        Ok(traces) => tempo_client::Trace {
            spans: traces.into_iter().flat_map(|trace| trace.spans).collect(),
            ..Default::default()
        },
        Err(tempo_client::FileError::Empty) => tempo_client::Trace::default(),
        Err(error) => return Err(anyhow::Error::from(error).context("the spans that arrived cannot be read")),
    };
    let of_stdout = output.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = received.lines.iter().cloned().chain(of_stdout.filter(Value::is_object)).collect();
    Ok(Trace::from(spans).with_lines(lines))
}
