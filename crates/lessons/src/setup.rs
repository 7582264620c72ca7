//! What a run of a lesson needs: environment variables and an upstream, with values that differ each time, so that no
//! program passes by writing down what it should have measured.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt as _, SeedableRng};

use crate::upstream::{Reply, Request};

/// Decides what the upstream responds.
pub(crate) type Handler = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

/// What a run needs.
pub struct Setup {
    pub(crate) variables: BTreeMap<&'static str, String>,
    pub(crate) upstream: Handler,
    pub(crate) any_status: bool,
}

impl Setup {
    /// No variable, and an upstream that responds `ok` at once.
    pub fn new() -> Self {
        Self { variables: BTreeMap::new(), upstream: Box::new(|_| Reply::text("ok")), any_status: false }
    }

    /// An environment variable of the learner's program.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl ToString) -> Self {
        self.variables.insert(name, value.to_string());
        self
    }

    /// What the upstream at `UPSTREAM_URL` responds.
    #[must_use]
    pub fn upstream(self, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self { upstream: Box::new(handler), ..self }
    }

    /// The program may end with another status than 0, because the lesson is about errors.
    #[must_use]
    pub fn any_status(self) -> Self {
        Self { any_status: true, ..self }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// Values that differ each time. The same seed has the same values.
#[derive(Debug)]
pub struct Random(StdRng);

/// Things that a shop sends.
const THINGS: [&str; 24] = [
    "apple", "book", "brush", "candle", "chair", "clock", "comb", "cup", "drum", "fork", "glove", "hat", "kettle",
    "lamp", "map", "pen", "plate", "radio", "rope", "scarf", "spoon", "table", "vase", "watch",
];

impl Random {
    /// The values of this seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number.
    pub fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// A duration of so many milliseconds.
    pub fn milliseconds(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// A name such as `lamp-417`.
    pub fn name(&mut self) -> String {
        let thing = THINGS.choose(&mut self.0).copied().unwrap_or_default();
        format!("{thing}-{}", self.number(100..=999))
    }

    /// So many names, no two the same, at most 24.
    pub fn names(&mut self, count: RangeInclusive<u64>) -> Vec<String> {
        let count = self.number(count) as usize;
        let things: Vec<_> = THINGS.sample(&mut self.0, count).copied().collect();
        things.into_iter().map(|thing| format!("{thing}-{}", self.number(100..=999))).collect()
    }
}
