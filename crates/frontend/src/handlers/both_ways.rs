//! "Roll both ways": the same dice with the same seed at once and one after the other, drawn on one time axis.
//!
//! This is for a browser without script; with script the page draws the same from two requests to `/roll-async`
//! (`assets/app.js`).

use service::Deadline;

use crate::app::AppState;
use crate::clients::dice_roller::Rolls;
use crate::error::Error;
use crate::handlers::roll::forward_with_span;
use crate::query::{BatchQuery, RollRequest, Strategy};

/// The least width of a bar, in percent of the axis, so that it can be seen.
const LEAST_WIDTH: f64 = 0.5;

/// Both pictures. At least one way could be rolled.
pub(crate) struct BothWays {
    pub(crate) die: String,
    pub(crate) times: u32,
    /// At once, then one after the other.
    pub(crate) ways: [Way; 2],
    /// The longest time on the axis, in seconds.
    axis: f64,
}

/// One batch.
pub(crate) struct Way {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) rolled: Result<Rolls, Error>,
    /// The span of dice-roller in which it was rolled.
    span: Option<String>,
}

/// One roll, as the page draws it. `left` and `width` are parts of the axis.
pub(crate) struct Bar {
    pub(crate) index: usize,
    pub(crate) left: String,
    pub(crate) width: String,
    pub(crate) face: Option<i64>,
    pub(crate) seconds: String,
}

/// Rolls both ways.
///
/// # Errors
/// When neither could be rolled.
pub(crate) async fn roll(state: &AppState, die: String, times: u32, deadline: Deadline) -> Result<BothWays, Error> {
    let seed = rand::random::<u64>() >> 11; // below 2^53, as the page's script has it
    let batch = |concurrency| BatchQuery {
        die: die.clone(),
        times,
        strategy: Some(Strategy::BestEffort), // failed rolls are drawn too
        concurrency,
        seed: Some(seed),
        details: Some(true),
    };
    let (all, one) = (batch(None), batch(Some(1)));
    let (at_once, sequential) = tokio::join!(
        forward_with_span::<Rolls>(state, RollRequest::batch(&all), deadline),
        forward_with_span::<Rolls>(state, RollRequest::batch(&one), deadline),
    );
    let way = |id, title, rolled: Result<(Rolls, Option<String>), Error>| match rolled {
        Ok((rolls, span)) => Way { id, title, rolled: Ok(rolls), span },
        Err(error) => Way { id, title, rolled: Err(error), span: None },
    };
    let ways = match (at_once, sequential) {
        (Err(error), Err(_)) => return Err(error),
        (at_once, sequential) => {
            [way("at-once", "At once", at_once), way("sequential", "One after the other", sequential)]
        }
    };
    let axis = ways.iter().filter_map(Way::end).fold(1e-6, f64::max);
    Ok(BothWays { die, times, ways, axis })
}

impl BothWays {
    /// Why one of the two could not be rolled.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.ways.iter().find_map(|way| way.rolled.as_ref().err())
    }

    /// What the pictures show, in one sentence.
    pub(crate) fn gain(&self) -> String {
        let [at_once, sequential] = &self.ways;
        let rolls = if self.times == 1 { "roll".to_owned() } else { format!("{} rolls", self.times) };
        let (Some(all), Some(one)) = (at_once.end(), sequential.end()) else {
            return "Only one of the two ways could be rolled, so there is nothing to compare.".to_owned();
        };
        let gain = match one / all {
            _ if one < 0.001 => return format!("The same {rolls}: too short to compare, both ways under 1 ms."),
            factor if factor < 1.05 => "no faster".to_owned(),
            factor => format!("{factor:.1} times faster"),
        };
        format!("The same {rolls}: one after the other {}, at once {}, {gain}.", duration(one), duration(all))
    }

    /// The viewer's comparison of the two, which are spans of one trace: first one after the other, as the sentence has it.
    pub(crate) fn comparison(&self, state: &AppState) -> Option<String> {
        let [at_once, sequential] = &self.ways;
        Some(format!("{}/compare/{}/{}", state.viewer_url.as_ref()?, sequential.span.as_ref()?, at_once.span.as_ref()?))
    }

    pub(crate) fn bars(&self, way: &Way) -> Vec<Bar> {
        let Ok(Rolls { rolls, details: Some(details), .. }) = &way.rolled else { return Vec::new() };
        let percent = |seconds: f64| seconds / self.axis * 100.0;
        let bar = |(face, detail): (&Option<i64>, &crate::clients::dice_roller::Detail)| Bar {
            index: detail.index,
            left: format!("{:.2}%", percent(detail.start).min(100.0 - LEAST_WIDTH)),
            width: format!("{:.2}%", percent(detail.seconds).max(LEAST_WIDTH)),
            face: *face,
            seconds: duration(detail.seconds),
        };
        rolls.iter().zip(details).map(bar).collect()
    }

    /// The labels of the axis: its begin, middle and end.
    pub(crate) fn ticks(&self) -> [String; 3] {
        ["0 s".to_owned(), duration(self.axis / 2.0), duration(self.axis)]
    }
}

impl Way {
    /// When its last roll ended, in seconds; none where it could not be rolled.
    fn end(&self) -> Option<f64> {
        let details = self.rolled.as_ref().ok()?.details.as_ref()?;
        Some(details.iter().map(|detail| detail.start + detail.seconds).fold(0.0, f64::max))
    }

    /// How long it took.
    pub(crate) fn took(&self) -> String {
        self.end().map(duration).unwrap_or_default()
    }

    /// Why there is no picture.
    pub(crate) fn problem(&self) -> Option<String> {
        match &self.rolled {
            Ok(rolls) if rolls.details.is_some() => None,
            Ok(_) => Some("dice-roller did not send the times of the rolls".to_owned()),
            Err(error) => Some(error.problem().detail().to_owned()),
        }
    }
}

/// Seconds as the page's script writes them.
fn duration(seconds: f64) -> String {
    match seconds {
        ..0.0995 => format!("{:.0} ms", seconds * 1000.0),
        ..0.995 => format!("{seconds:.2} s"),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::dice_roller::Detail;

    fn both(times: u32, at_once: &[(f64, f64)], sequential: &[(f64, f64)]) -> BothWays {
        let way = |id, times: &[(f64, f64)]| {
            let detail = |(index, (start, seconds)): (usize, &(f64, f64))| Detail {
                index,
                start: *start,
                seconds: *seconds,
                finished: index + 1,
            };
            let details = Some(times.iter().enumerate().map(detail).collect());
            let rolls = vec![Some(1); times.len()];
            let rolled = Ok(Rolls { total: 0, rolls, count: 0, failed: None, details, trace_id: None });
            Way { id, title: "", rolled, span: None }
        };
        let ways = [way("at-once", at_once), way("sequential", sequential)];
        let axis = ways.iter().filter_map(Way::end).fold(1e-6, f64::max);
        BothWays { die: "fair".to_owned(), times, ways, axis }
    }

    #[test]
    fn gain_is_one_plain_sentence() {
        let gain = |times, all, one| both(times, &[(0.0, all)], &[(0.0, one)]).gain();
        assert_eq!(
            gain(10, 0.9712, 5.4321),
            "The same 10 rolls: one after the other 5.4 s, at once 0.97 s, 5.6 times faster."
        );
        assert_eq!(
            gain(20, 0.5, 10.2),
            "The same 20 rolls: one after the other 10.2 s, at once 0.50 s, 20.4 times faster."
        );
        assert_eq!(gain(1, 0.042, 0.0423), "The same roll: one after the other 42 ms, at once 42 ms, no faster.");
        assert_eq!(gain(5, 0.000_01, 0.000_02), "The same 5 rolls: too short to compare, both ways under 1 ms.");
    }

    #[test]
    fn bars_share_one_axis() {
        let both = both(2, &[(0.0, 0.5), (0.0, 1.5)], &[(0.0, 0.5), (0.5, 1.5)]);
        let places =
            |way| both.bars(&both.ways[way]).into_iter().map(|bar| bar.left + " " + &bar.width).collect::<Vec<_>>();
        assert_eq!(places(0), ["0.00% 25.00%", "0.00% 75.00%"]);
        assert_eq!(places(1), ["0.00% 25.00%", "25.00% 75.00%"]);
        assert_eq!(both.ticks(), ["0 s", "1.0 s", "2.0 s"]);
    }

    #[test]
    fn rolls_without_duration_are_still_drawn() {
        let both = both(2, &[(0.0, 0.0), (0.0, 0.0)], &[(0.0, 0.0), (0.0, 0.0)]);
        assert!(both.bars(&both.ways[0]).iter().all(|bar| bar.left == "0.00%" && bar.width == "0.50%"));
    }
}
