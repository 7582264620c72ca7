//! Which incident a seed means.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::decoys::{DECOYS, Decoy};
use crate::mechanisms::{HEALTHY, MECHANISMS, Mechanism};

/// The levels: the higher, the less one trace says by itself.
pub const LEVELS: std::ops::RangeInclusive<u8> = 1..=3;

/// Characters of what is sealed, so that its length says nothing.
const SEALED: usize = 48;

/// What is wrong in a running system, and what only looks so. The same seed and level are the same incident.
#[derive(Debug, Clone)]
pub struct Incident {
    /// As given, or random.
    pub seed: u64,
    /// 1 to 3.
    pub level: u8,
    /// What is wrong.
    pub mechanism: &'static Mechanism,
    /// The value that the fault gets, where it takes one.
    pub value: Option<String>,
    /// What looks odd and is harmless.
    pub decoys: Vec<&'static Decoy>,
    /// For the sizes of decoys and for the traffic.
    pub chance: u64,
}

impl Incident {
    /// The incident of this seed and level.
    pub fn new(seed: u64, level: u8) -> Self {
        let mut stream = [0; 32];
        stream[..8].copy_from_slice(&seed.to_le_bytes());
        stream[8] = level;
        let mut rng = StdRng::from_seed(stream);
        let of_level: Vec<_> = MECHANISMS.iter().filter(|mechanism| mechanism.is_of(level)).collect();
        let mechanism = of_level.choose(&mut rng).copied().unwrap_or(&HEALTHY);
        let value = mechanism.sizes.clone().map(|sizes| {
            let size = rng.random_range(sizes);
            match ["fair", "risky"].choose(&mut rng).filter(|_| mechanism.of_die) {
                Some(die) => format!("{die}:{size}"),
                None => size.to_string(),
            }
        });
        let decoys = DECOYS.sample(&mut rng, usize::from(level)).collect();
        Self { seed, level, mechanism, value, decoys, chance: rng.random() }
    }

    /// The content of `FAULTS_FILE` before the incident begins: nothing is switched on.
    pub fn sealed_before() -> String {
        faults::seal(&" ".repeat(SEALED))
    }

    /// The content of `FAULTS_FILE` from the beginning of the incident on.
    pub fn sealed(&self) -> String {
        let name = self.mechanism.name;
        let fault = match &self.value {
            _ if self.mechanism.culprit == crate::NOBODY => String::new(),
            Some(value) => format!("{name}={value}"),
            None => name.to_owned(),
        };
        faults::seal(&format!("{fault:<SEALED$}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn seed_and_level_decide_the_incident() {
        for level in LEVELS {
            for seed in 0..50 {
                let text = |incident: Incident| format!("{incident:?}");
                assert_eq!(text(Incident::new(seed, level)), text(Incident::new(seed, level)));
            }
        }
    }

    #[test]
    fn every_mechanism_is_an_incident_of_its_level_and_every_level_can_be_healthy() {
        let mut seen = BTreeSet::new();
        for level in LEVELS {
            let incidents = (0..500).map(|seed| Incident::new(seed, level));
            let of_level: BTreeSet<_> = incidents.map(|incident| incident.mechanism.name).collect();
            assert!(of_level.contains(HEALTHY.name) && of_level.len() >= 4, "{level}: {of_level:?}");
            seen.extend(of_level);
        }
        assert_eq!(seen, crate::mechanisms().map(|mechanism| mechanism.name).collect());
    }

    #[test]
    fn value_and_decoys_come_from_the_seed_and_the_service_takes_the_value() {
        let all = LEVELS.flat_map(|level| (0..300).map(move |seed| Incident::new(seed, level)));
        let all: Vec<_> = all.collect();
        for mechanism in crate::mechanisms() {
            let of_it: Vec<_> = all.iter().filter(|incident| incident.mechanism.name == mechanism.name).collect();
            let values: BTreeSet<_> = of_it.iter().filter_map(|incident| incident.value.clone()).collect();
            assert_eq!(values.len() > 5, mechanism.sizes.is_some(), "{}: {values:?}", mechanism.name);
            let decoys: BTreeSet<_> = of_it.iter().flat_map(|incident| &incident.decoys).map(|d| d.sentence).collect();
            assert_eq!(decoys.len(), DECOYS.len());
            for incident in of_it {
                assert_eq!(incident.decoys.len(), usize::from(incident.level));
                let faults: faults::Faults = faults::unseal(&incident.sealed()).unwrap().parse().unwrap();
                let expected = faults::Fault::from_name(mechanism.name);
                assert_eq!(faults.on.first().map(|active| active.fault), expected);
                assert!(faults.on.iter().all(|active| active.fault.info().service == mechanism.culprit));
            }
        }
    }

    #[test]
    fn length_of_what_is_sealed_is_the_same_for_all() {
        let sealed = (0..1000).map(|seed| Incident::new(seed, 1 + (seed % 3) as u8).sealed().len());
        assert_eq!(sealed.collect::<BTreeSet<_>>(), BTreeSet::from([Incident::sealed_before().len()]));
    }
}
