//! A process of this executable, and every line that it has written.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PATIENCE, eventually};

/// Killed when dropped; a launcher's children then stop by themselves.
pub(crate) struct Process {
    child: Child,
    written: Arc<Written>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Written {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// How many of the two streams are still open.
    open: usize,
    /// Whether what the process writes stays in its pipes.
    unread: bool,
}

impl Process {
    /// Starts `dice` with these arguments and nothing in its environment but `environment`.
    pub(crate) fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dice"))
            .args(args)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let written = Arc::new(Written::default());
        written.state.lock().unwrap().open = 2;
        let readers = vec![
            read(child.stdout.take().unwrap(), written.clone()),
            read(child.stderr.take().unwrap(), written.clone()),
        ];
        Self { child, written, readers }
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id() as i32
    }

    /// All lines so far, of both streams.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.written.state.lock().unwrap().lines.clone()
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The first line, past or future, for which `wanted` holds.
    pub(crate) fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        let state = self.written.state.lock().unwrap();
        let find = |lines: &[String]| lines.iter().find(|line| wanted(line)).cloned();
        let goes_on = |state: &mut State| find(&state.lines).is_none() && state.open > 0;
        let (state, _) = self.written.changed.wait_timeout_while(state, PATIENCE, goes_on).unwrap();
        find(&state.lines).unwrap_or_else(|| panic!("the awaited line is not among these:\n{}", state.lines.join("\n")))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id()), signal).unwrap();
    }

    /// Waits for its end, and for its last line.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = eventually("the end of the process", || self.child.try_wait().unwrap());
        self.set_unread(false);
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        status
    }

    /// Reads no further line until its end, as a pager does.
    pub(crate) fn stop_reading(&self) {
        self.set_unread(true);
    }

    fn set_unread(&self, unread: bool) {
        self.written.state.lock().unwrap().unread = unread;
        self.written.changed.notify_all();
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stream: impl Read + Send + 'static, written: Arc<Written>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let state = written.state.lock().unwrap();
            written.changed.wait_while(state, |state| state.unread).unwrap().lines.push(line.unwrap());
            written.changed.notify_all();
        }
        written.state.lock().unwrap().open -= 1;
        written.changed.notify_all();
    })
}
