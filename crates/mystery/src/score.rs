//! What all answers together were worth.

use serde::{Deserialize, Serialize};

use crate::state::{Files, read_json, replace};

/// The most incidents that are kept; the oldest ones go.
const MOST: usize = 200;

/// Points of one answer: culprit, mechanism, evidence.
pub const MOST_POINTS: u64 = 3;

/// The incidents that were answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    incidents: Vec<Scored>,
}

/// The first answer to an incident. What was wrong is not in it: the same seed may be played again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Scored {
    run: u64,
    seed: u64,
    level: u8,
    points: u64,
}

impl Score {
    /// Adds the points of an answer, unless the incident had one before, and says whether they count.
    ///
    /// # Errors
    /// When the file of the score is damaged or cannot be written.
    pub fn add(files: &Files, running: &crate::Running, points: u64) -> anyhow::Result<(Self, bool)> {
        let path = files.score();
        let mut score: Self = read_json(&path)?.unwrap_or_default();
        let counts = score.incidents.iter().all(|incident| incident.run != running.run);
        if counts {
            let crate::Running { run, seed, level, .. } = *running;
            score.incidents.push(Scored { run, seed, level, points });
            let surplus = score.incidents.len().saturating_sub(MOST);
            score.incidents.drain(..surplus);
            replace(&path, &serde_json::to_string(&score)?)?;
        }
        Ok((score, counts))
    }

    /// Points, the most that were possible, and incidents.
    pub fn total(&self) -> (u64, u64, usize) {
        let points = self.incidents.iter().map(|incident| incident.points.min(MOST_POINTS)).sum();
        (points, self.incidents.len() as u64 * MOST_POINTS, self.incidents.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Running;

    fn running(run: u64) -> Running {
        Running { seed: 1, level: 2, run, since: 3, viewer: String::new() }
    }

    #[test]
    fn first_answer_counts_and_the_file_stays_bounded() {
        let folder = std::env::temp_dir().join(format!("mystery-score-{}", std::process::id()));
        let files = Files::new(&folder, 0);
        let lock = files.lock().unwrap();
        assert_eq!(Score::add(&files, &running(1), 2).unwrap().0.total(), (2, 3, 1));
        let (again, counts) = Score::add(&files, &running(1), 3).unwrap();
        assert_eq!((again.total(), counts), ((2, 3, 1), false));
        for run in 2..MOST as u64 + 50 {
            Score::add(&files, &running(run), 3).unwrap();
        }
        let (score, _) = Score::add(&files, &running(0), 0).unwrap();
        assert_eq!(score.total(), (3 * MOST as u64 - 3, 3 * MOST as u64, MOST));

        // A file that somebody has damaged is not overwritten.
        replace(&files.score(), "{").unwrap();
        assert!(Score::add(&files, &running(9), 3).is_err());
        assert_eq!(std::fs::read_to_string(files.score()).unwrap(), "{");
        drop(lock);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
