//! The dice: data, not code. A JSON file, checked as a whole before the service starts.

use std::path::Path;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The dice that exist without `DIE_SPECIFICATIONS`.
const BUILT_IN: &str = include_str!("../dice.json");

/// What a die is like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Specification {
    /// The faces, each equally likely; a face may stand there more than once.
    #[schema(example = json!([1, 2, 3, 4, 5, 6]))]
    pub faces: Vec<i64>,
    /// The probability, 0 to 1, that a roll fails: a simulated fault.
    pub error_rate: f64,
}

/// All dice, in the order of the file.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<(String, Specification)>);

impl Catalogue {
    /// Reads the dice from `path`, or takes the built-in ones.
    ///
    /// # Errors
    /// One line that names the file, the die and the fault: the file cannot be read or is not JSON, a die has no faces,
    /// an error rate outside 0..=1, or an empty name.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Self::parse(BUILT_IN) };
        let text = std::fs::read_to_string(path);
        text.map_err(anyhow::Error::from)
            .and_then(|text| Self::parse(&text))
            .with_context(|| format!("die specifications {}", path.display()))
    }

    /// Reads the dice from JSON text.
    ///
    /// # Errors
    /// As [`Catalogue::load`], without the file's name.
    pub fn parse(json: &str) -> anyhow::Result<Self> {
        let dice: Map<String, Value> =
            serde_json::from_str(json).context("not a JSON object of dice, such as {\"fair\": {…}}")?;
        ensure!(!dice.is_empty(), "there is no die in it");
        dice.into_iter().map(checked).collect::<Result<_, _>>().map(Self)
    }

    /// The names, in the order of the file.
    pub fn identifiers(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The die of that name.
    pub fn find(&self, identifier: &str) -> Option<&Specification> {
        self.0.iter().find(|(name, _)| name == identifier).map(|(_, specification)| specification)
    }
}

fn checked((name, die): (String, Value)) -> anyhow::Result<(String, Specification)> {
    ensure!(!name.trim().is_empty(), "a die has an empty name");
    let specification: Specification = serde_json::from_value(die).with_context(|| format!("die '{name}'"))?;
    let error_rate = specification.error_rate;
    ensure!(!specification.faces.is_empty(), "die '{name}': it has no faces");
    ensure!((0.0..=1.0).contains(&error_rate), "die '{name}': its error_rate is {error_rate}; allowed: 0 to 1");
    Ok((name, specification))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_dice_are_those_of_the_contract() {
        let dice = Catalogue::load(None).unwrap();
        assert_eq!(dice.identifiers(), ["fair", "risky", "extreme"]);
        let risky = Specification { faces: vec![2, 3, 4, 5, 6, 7], error_rate: 0.1 };
        assert_eq!(dice.find("risky"), Some(&risky));
        assert_eq!(dice.find("Risky"), None);
    }

    #[test]
    fn faulty_specifications_are_refused_with_die_and_fault() {
        for (json, die, fault) in [
            ("", "", "not a JSON object"),
            ("[1]", "", "not a JSON object"),
            ("{}", "", "no die"),
            (r#"{"": {"faces": [1], "error_rate": 0}}"#, "", "empty name"),
            (r#"{"x": {"faces": [], "error_rate": 0}}"#, "'x'", "no faces"),
            (r#"{"x": {"error_rate": 0}}"#, "'x'", "missing field `faces`"),
            (r#"{"x": {"faces": [1.5], "error_rate": 0}}"#, "'x'", "1.5"),
            (r#"{"x": {"faces": [1], "error_rate": 1.01}}"#, "'x'", "1.01; allowed: 0 to 1"),
            (r#"{"x": {"faces": [1], "error_rate": -0.1}}"#, "'x'", "-0.1; allowed: 0 to 1"),
            (r#"{"x": {"faces": [1], "error_rate": "high"}}"#, "'x'", "high"),
            (r#"{"x": {"faces": [1], "error_rate": 0, "colour": "red"}}"#, "'x'", "colour"),
        ] {
            let error = format!("{:#}", Catalogue::parse(json).unwrap_err());
            assert!(error.contains(die) && error.contains(fault) && !error.contains('\n'), "{json} gave: {error}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Catalogue::load(Some(Path::new("no-such-file.json"))).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-file.json"));
    }
}
