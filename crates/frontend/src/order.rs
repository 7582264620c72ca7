//! What may be asked of dice-roller: read from a query, checked, and written as one again.

use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;
use telemetry::{Problem, Query};

/// What becomes of a batch in which a roll fails. The first is the default.
const STRATEGIES: [(&str, &str); 2] = [("all-or-nothing", "all-or-nothing"), ("best-effort", "best-effort")];

/// One roll waits up to a second; five mean that something is wrong.
const ROLL_LIMIT: Duration = Duration::from_secs(5);
/// Twenty rolls one after the other (`concurrency=1`) take ten seconds on average.
const BATCH_LIMIT: Duration = Duration::from_secs(30);

/// A roll, or a batch of them.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) die: String,
    pub(crate) batch: Option<Batch>,
}

/// How several dice are rolled.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) times: u32,
    strategy: Option<&'static str>,
    concurrency: Option<u32>,
}

impl Order {
    /// `die`.
    pub(crate) fn roll(query: &Query) -> Result<Self, Problem> {
        Ok(Self { die: query.text("die")?, batch: None })
    }

    /// `die`, `times` and, where they are there, `strategy` and `concurrency`.
    pub(crate) fn batch(query: &Query, times: RangeInclusive<u32>) -> Result<Self, Problem> {
        Self::several(query, times, |times| query.optional_number("concurrency", 1..=times))
    }

    /// As the page's form sends it: `async` says which of the two.
    pub(crate) fn from_form(query: &Query, times: RangeInclusive<u32>) -> Result<Self, Problem> {
        match query.choice("async", &[("on", true), ("off", false)])? {
            Some(true) => Self::several(query, times, |times| match query.choice("concurrency", &[("", ())]) {
                Ok(Some(())) => Ok(None), // a form sends a field that was left empty
                _ => query.optional_number("concurrency", 1..=times),
            }),
            _ => Self::roll(query),
        }
    }

    fn several(
        query: &Query,
        times: RangeInclusive<u32>,
        concurrency: impl FnOnce(u32) -> Result<Option<u32>, Problem>,
    ) -> Result<Self, Problem> {
        let die = query.text("die")?;
        let times = query.number("times", times)?;
        let strategy = query.choice("strategy", &STRATEGIES)?;
        let concurrency = concurrency(times)?;
        Ok(Self { die, batch: Some(Batch { times, strategy, concurrency }) })
    }

    /// How many dice are rolled.
    pub(crate) fn times(&self) -> u32 {
        self.batch.as_ref().map_or(1, |batch| batch.times)
    }

    /// How long dice-roller may take.
    pub(crate) fn limit(&self) -> Duration {
        if self.batch.is_some() { BATCH_LIMIT } else { ROLL_LIMIT }
    }

    /// Adds the order to `url` as a query: nothing is in it that was not checked.
    pub(crate) fn append_to(&self, url: &mut Url) {
        let mut query = url.query_pairs_mut();
        query.append_pair("die", &self.die);
        if let Some(batch) = &self.batch {
            query.append_pair("times", &batch.times.to_string());
            query.extend_pairs(batch.strategy.map(|strategy| ("strategy", strategy)));
            query.extend_pairs(batch.concurrency.map(|rolls| ("concurrency", rolls.to_string())));
        }
    }
}
