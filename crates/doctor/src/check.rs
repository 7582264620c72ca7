//! How one hop is checked: again and again, until it holds or its time is up.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::http::HttpClient;
use crate::report::{Failure, Outcome, Report};
use crate::targets::Target;

/// Between two checks of the same hop.
const PAUSE: Duration = Duration::from_millis(250);

/// What a check returns: something that later hops need, and the text for the report.
pub(crate) type Checked<T> = Result<(T, String), Failure>;

/// What a hop needs of earlier ones, or why it is not checked.
pub(crate) type Needs<T> = Result<T, Skip>;

/// Why a hop is not checked.
#[derive(Debug, Clone)]
pub(crate) enum Skip {
    /// This hop is broken, and comes before.
    After(String),
    /// A part of this name is not part of the system, and why.
    Absent(&'static str, String),
}

impl Skip {
    pub(crate) fn absent(part: &'static str, why: &str) -> Self {
        Self::Absent(part, format!("not part of this system: {why}"))
    }
}

/// The checks of one run.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) report: Report,
    pub(crate) wait: Duration,
    /// Moves on while hops hold. After one that does not, the others have had as much time, and are checked once.
    deadline: Instant,
}

impl Checks {
    pub(crate) fn new(report: Report, wait: Duration) -> Self {
        Self { report, wait, deadline: Instant::now() + wait }
    }

    /// Checks until the hop holds or its time is up, and writes its line.
    pub(crate) fn check<N, T>(
        &mut self,
        hop: &str,
        needs: &Needs<N>,
        mut check: impl FnMut(&N) -> Checked<T>,
    ) -> anyhow::Result<Needs<T>> {
        let deadline = self.deadline;
        self.check_once(hop, needs, |needs| {
            loop {
                let checked = check(needs);
                let left = deadline.saturating_duration_since(Instant::now());
                if checked.is_ok() || left.is_zero() {
                    return checked;
                }
                sleep(PAUSE.min(left));
            }
        })
    }

    /// Checks a hop that a second look would not change, and writes its line.
    pub(crate) fn check_once<N, T>(
        &mut self,
        hop: &str,
        needs: &Needs<N>,
        check: impl FnOnce(&N) -> Checked<T>,
    ) -> anyhow::Result<Needs<T>> {
        let (outcome, seen) = match needs.as_ref().map(check) {
            Ok(Ok((seen, text))) => {
                self.deadline = Instant::now() + self.wait;
                (Outcome::Ok(text), Ok(seen))
            }
            Ok(Err(failure)) => (Outcome::Failed(failure), Err(Skip::After(format!("not checked: '{hop}' is broken")))),
            Err(why) => (Outcome::Skipped(why.clone()), Err(why.clone())),
        };
        self.report.add(hop, outcome)?;
        Ok(seen)
    }
}

/// `needs`, if `target` is part of this system: it was named, or something listens there.
pub(crate) fn part<'a, N>(http: &HttpClient, target: &Target, needs: &'a Needs<N>) -> Needs<&'a N> {
    let needs = needs.as_ref().map_err(Skip::clone)?;
    if target.required || target.usual && !http.refused(target) {
        return Ok(needs);
    }
    let (origin, setting) = (target.origin(), target.setting);
    let why = match target.usual {
        true => format!("nothing listens at {origin} ({setting})"),
        false => format!("with a port offset only where {setting} names it"),
    };
    Err(Skip::absent(target.name, &why))
}
