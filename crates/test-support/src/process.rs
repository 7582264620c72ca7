//! A process and every line that it has written.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::{PATIENCE, eventually};

/// A running program; killed when dropped. Its stdin is closed, its output is read all the time, because a full pipe
/// would stop it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

/// A process that has exited.
#[derive(Debug)]
pub struct Finished {
    /// How it exited.
    pub status: ExitStatus,
    /// All that it wrote to stdout.
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

#[derive(Debug, Default)]
struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    /// How many of the two streams are open.
    open: usize,
    /// Whether reading is suspended.
    suspended: bool,
}

#[derive(Debug)]
struct Line {
    stderr: bool,
    text: String,
}

impl Process {
    /// Starts `program` with these arguments and nothing in its environment but `environment`.
    pub fn start(program: impl AsRef<OsStr>, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(environment.iter().copied());
        Self::spawn(command).unwrap()
    }

    /// Starts `command`, for what [`Process::start`] has no parameter for.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut command: Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = Arc::new(Output::default());
        output.state.lock().unwrap().open = 2;
        let readers = vec![
            read(child.stdout.take().unwrap(), false, output.clone()),
            read(child.stderr.take().unwrap(), true, output.clone()),
        ];
        Ok(Self { child, output, readers })
    }

    /// Starts `command` for a measurement: its lines are read, as by a container's log driver, and discarded at the least
    /// cost. Its stderr is that of the test.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_discarding(mut command: Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut stdout = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || drop(std::io::copy(&mut stdout, &mut std::io::sink())));
        Ok(Self { child, output: Arc::default(), readers: vec![reader] })
    }

    /// Its status, if it has exited.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn exited(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The id of the process.
    pub fn id(&self) -> i32 {
        self.child.id() as i32
    }

    /// All lines so far, of both streams.
    pub fn lines(&self) -> Vec<String> {
        self.output.state.lock().unwrap().lines.iter().map(|line| line.text.clone()).collect()
    }

    /// All lines so far that are JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The [JSON lines](Process::json_lines) with that message.
    pub fn json_lines_of(&self, message: &str) -> Vec<Value> {
        self.json_lines().into_iter().filter(|line| line["message"] == message).collect()
    }

    /// All that it has written so far.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The first line, past or future, for which `wanted` holds.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        let state = self.output.state.lock().unwrap();
        let find = |lines: &[Line]| lines.iter().find(|line| wanted(&line.text)).map(|line| line.text.clone());
        let goes_on = |state: &mut State| find(&state.lines).is_none() && state.open > 0;
        let (state, _) = self.output.changed.wait_timeout_while(state, PATIENCE, goes_on).unwrap();
        let found = find(&state.lines);
        drop(state);
        found.unwrap_or_else(|| panic!("the awaited line is not among these:\n{}", self.text()))
    }

    /// `http://` and an address of the JSON line that a service writes when it listens: `address`, `otlp_address`.
    pub fn url(&self, field: &str) -> String {
        let line: Value = serde_json::from_str(&self.wait_for(|line| line.contains("\"address\":"))).unwrap();
        format!("http://{}", line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}")))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id()), signal).unwrap();
    }

    /// Waits until it has exited and its last line is read.
    pub fn wait(&mut self) -> ExitStatus {
        let status = eventually("the process exits", || self.child.try_wait().unwrap());
        self.suspend(false);
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        status
    }

    /// SIGTERM, and [`Process::wait`].
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it has exited, and returns all that it wrote.
    pub fn finish(mut self) -> Finished {
        let status = self.wait();
        let state = self.output.state.lock().unwrap();
        let text = |stderr| {
            let lines = state.lines.iter().filter(|line| line.stderr == stderr);
            lines.map(|line| format!("{}\n", line.text)).collect()
        };
        Finished { status, stdout: text(false), stderr: text(true) }
    }

    /// Reads nothing more, as a pager does, until [`Process::resume_reading`] or until it has exited.
    pub fn stop_reading(&self) {
        self.suspend(true);
    }

    /// Reads again.
    pub fn resume_reading(&self) {
        self.suspend(false);
    }

    fn suspend(&self, suspended: bool) {
        self.output.state.lock().unwrap().suspended = suspended;
        self.output.changed.notify_all();
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory in bytes that it has had resident.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stream: impl Read + Send + 'static, stderr: bool, output: Arc<Output>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for text in BufReader::new(stream).lines() {
            let state = output.state.lock().unwrap();
            let mut state = output.changed.wait_while(state, |state| state.suspended).unwrap();
            state.lines.push(Line { stderr, text: text.unwrap() });
            output.changed.notify_all();
        }
        output.state.lock().unwrap().open -= 1;
        output.changed.notify_all();
    })
}
