//! What the numbers say: mean and spread of a sample, and what theory and chance make of the speedup.

use serde::Serialize;

/// Of a sample, in the sample's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Statistics {
    pub(crate) mean: f64,
    /// The standard deviation that the sample estimates (n − 1); none of a single value.
    pub(crate) deviation: Option<f64>,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Statistics {
    /// None of an empty sample.
    pub(crate) fn of(sample: &[f64]) -> Option<Self> {
        let count = sample.len() as f64;
        let min = sample.iter().copied().reduce(f64::min)?;
        let max = sample.iter().copied().reduce(f64::max)?;
        let mean = sample.iter().sum::<f64>() / count;
        let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (sample.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        Some(Self { mean, deviation, min, max })
    }
}

/// What the speedup should be, if a roll is a delay that is uniform between 0 and some longest, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Theory {
    pub(crate) speedup: f64,
    /// The standard deviation of the measured speedup that chance alone gives.
    pub(crate) deviation: f64,
}

impl Theory {
    /// For `rolls` rolls, each measured `iterations` times.
    ///
    /// In units of the longest delay, with N rolls (order statistics of the uniform distribution):
    ///
    /// - one after another they take their sum S: mean N/2, variance N/12;
    /// - at once they take their maximum M: mean N/(N+1), variance N / ((N+1)² (N+2));
    /// - so the speedup, the ratio of the means, is (N+1)/2.
    ///
    /// The measured speedup is a ratio of two independent averages over k iterations. Its relative variance is, to
    /// first order, the sum of theirs: (Var S / E\[S\]² + Var M / E\[M\]²) / k = (1/(3N) + 1/(N(N+2))) / k.
    pub(crate) fn uniform(rolls: u32, iterations: usize) -> Self {
        let n = f64::from(rolls);
        let speedup = (n + 1.0) / 2.0;
        let relative_variance = (1.0 / (3.0 * n) + 1.0 / (n * (n + 2.0))) / iterations as f64;
        Self { speedup, deviation: speedup * relative_variance.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// 2, 4, 4, 4, 5, 5, 7, 9: mean 5, squares of the differences 9+1+1+1+0+0+4+16 = 32, and 32/7 = 4.571…
    #[test]
    fn statistics_are_those_worked_out_by_hand() {
        let statistics = Statistics::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((statistics.mean, statistics.min, statistics.max), (5.0, 2.0, 9.0));
        assert!((statistics.deviation.unwrap() - 2.138_089_935).abs() < 1e-9, "{statistics:?}");
        assert_eq!(Statistics::of(&[3.0]), Some(Statistics { mean: 3.0, deviation: None, min: 3.0, max: 3.0 }));
        assert_eq!(Statistics::of(&[]), None);
    }

    /// N = 10, k = 5: 11/2, and 5.5 · √((1/30 + 1/120) / 5) = 5.5 · √(1/120) = 0.50207…
    #[test]
    fn theory_is_that_worked_out_by_hand() {
        let theory = Theory::uniform(10, 5);
        assert_eq!(theory.speedup, 5.5);
        assert!((theory.deviation - 0.502_079_0).abs() < 1e-6, "{theory:?}");
        assert_eq!(Theory::uniform(1, 1).speedup, 1.0);
    }

    /// The formulas against chance itself: 20,000 measurements of 5 iterations, drawn with a fixed seed.
    #[test]
    fn theory_agrees_with_drawn_delays() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut speedup = || {
            let (mut sums, mut maxima) = (0.0, 0.0);
            for _ in 0..5 {
                sums += (0..10).map(|_| rng.random::<f64>()).sum::<f64>();
                maxima += (0..10).map(|_| rng.random::<f64>()).fold(0.0, f64::max);
            }
            sums / maxima
        };
        let drawn = Statistics::of(&(0..20_000).map(|_| speedup()).collect::<Vec<_>>()).unwrap();
        let theory = Theory::uniform(10, 5);
        // First order: the ratio of two averages is a little more than the ratio of the means.
        assert!((drawn.mean - theory.speedup).abs() < 0.02, "{drawn:?}");
        assert!((drawn.deviation.unwrap() / theory.deviation - 1.0).abs() < 0.03, "{drawn:?}");
    }
}
