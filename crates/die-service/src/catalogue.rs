//! The dice: data, not code. A JSON file, checked as a whole before the service starts: what is accepted here, this
//! service can send, dice-roller can roll, and frontend can list.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// The dice that exist without `DIE_SPECIFICATIONS`.
const BUILT_IN: &str = include_str!("../dice.json");

/// Longest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Most dice: frontend refuses a longer list, and each die is a label of the metrics.
const MAX_DICE: usize = 1000;

/// Longest description of a fault, in characters: it may quote the file.
const MAX_FAULT: usize = 300;

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

/// One die, as a response has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Die<'a> {
    pub(crate) identifier: &'a str,
    pub(crate) specification: &'a Specification,
}

/// All dice, in the order of the file.
#[derive(Debug, Clone)]
pub struct Catalogue(Vec<(String, Specification)>);

impl Catalogue {
    /// Reads the dice from `path`, or takes the built-in ones.
    ///
    /// # Errors
    /// One line that names the file, the die and the fault.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Self::parse(BUILT_IN) };
        read(path)
            .and_then(|text| Self::parse(&text))
            .with_context(|| format!("die specifications {}", path.display().to_string().escape_debug()))
    }

    /// Reads the dice from JSON text.
    ///
    /// # Errors
    /// As [`Catalogue::load`], without the file's name.
    pub fn parse(json: &str) -> anyhow::Result<Self> {
        // Editors on Windows begin a file with a byte order mark; RFC 8259 lets a parser ignore it.
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        let dice: Self = serde_json::from_str(json).map_err(|error| {
            let what = if error.is_data() { "" } else { "it is not JSON: " };
            anyhow!("{what}{}", one_line(&error.to_string()))
        })?;
        ensure!(!dice.0.is_empty(), "there is no die in it");
        Ok(dice)
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

/// The text of a regular file. Opening a named pipe would wait for a writer, reading a device may never end.
fn read(path: &Path) -> anyhow::Result<String> {
    ensure!(std::fs::metadata(path)?.is_file(), "it is not a regular file");
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
    ensure!(text.len() as u64 <= MAX_FILE, "it is longer than {MAX_FILE} bytes");
    String::from_utf8(text).ok().context("it is not UTF-8 text")
}

/// A fault that may quote anything of the file, as one line of bounded length.
fn one_line(fault: &str) -> String {
    let mut line = String::new();
    for character in fault.chars().take(MAX_FAULT) {
        match character {
            '\'' | '"' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    line + if fault.chars().nth(MAX_FAULT).is_some() { "…" } else { "" }
}

/// Not derived, because maps of serde and `serde_json` keep the last of two dice of the same name in silence.
impl<'de> Deserialize<'de> for Catalogue {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(Dice)
    }
}

struct Dice;

impl<'de> Visitor<'de> for Dice {
    type Value = Catalogue;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a JSON object of dice, such as {\"fair\": {\"faces\": [1, 2], \"error_rate\": 0}}")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Catalogue, M::Error> {
        let mut dice: Vec<(String, Specification)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let named = |fault: &dyn fmt::Display| M::Error::custom(format_args!("die '{}': {fault}", shown(&name)));
            let known = dice.iter().any(|(other, _)| *other == name);
            let specification = match fault_of_name(&name) {
                Some(fault) => return Err(named(&fault)),
                None if known => return Err(named(&"there are two dice of this name")),
                None if dice.len() == MAX_DICE => {
                    return Err(named(&format_args!("there are more than {MAX_DICE} dice, which no list shows")));
                }
                None => map.next_value::<Specification>().map_err(|error| named(&error))?,
            };
            check(&name, &specification).map_err(|fault| named(&fault))?;
            dice.push((name, specification));
        }
        Ok(Catalogue(dice))
    }
}

/// Why no request can carry that name.
fn fault_of_name(name: &str) -> Option<String> {
    if name.trim().is_empty() {
        return Some("it has an empty name".to_owned());
    }
    service::fault_of_text(name).map(|fault| format!("its name {fault}; allowed: {}", service::ALLOWED_TEXT))
}

/// A name, cut to a length that one can read.
fn shown(name: &str) -> String {
    name.chars().take(40).chain((name.chars().nth(40)).map(|_| '…')).collect()
}

fn check(name: &str, specification: &Specification) -> anyhow::Result<()> {
    let Specification { faces, error_rate } = specification;
    ensure!(!faces.is_empty(), "it has no faces");
    ensure!((0.0..=1.0).contains(error_rate), "its error_rate is {error_rate}; allowed: 0 to 1");
    let response = serde_json::to_vec(&Die { identifier: name, specification })?;
    if response.len() > telemetry::MAX_BODY {
        let (count, size, max) = (faces.len(), response.len(), telemetry::MAX_BODY);
        bail!("its {count} faces make a response of {size} bytes; dice-roller reads at most {max}");
    }
    Ok(())
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
    fn faulty_specifications_are_refused_in_one_line_with_die_and_fault() {
        let named = |name: &str| format!(r#"{{{}: {{"faces": [1], "error_rate": 0}}}}"#, serde_json::json!(name));
        let long = "x".repeat(129);
        for (json, die, fault) in [
            ("", "", "not JSON"),
            ("[1]", "", "expected a JSON object of dice"),
            ("{}", "", "no die"),
            (r#"{"x": {"faces": [1], "error_rate": 0}} {}"#, "", "not JSON: trailing characters"),
            (r#"{"x": {"faces": [1,}}"#, "'x'", "at line 1 column 20"),
            (&named(""), "''", "empty name"),
            (&named(" "), "' '", "empty name"),
            (&named(&long), &long[..40], "its name is too long; allowed: a text of 1 to 128 bytes"),
            (&named("a\nb"), r"'a\nb'", "its name holds control characters"),
            (&named("a\u{85}b"), r"'a\u{85}b'", "its name holds control characters"),
            (r#"{"x": {"faces": [1], "error_rate": 0}, "\u0078": {"faces": [2], "error_rate": 0}}"#, "'x'", "two dice"),
            (r#"{"x": {"faces": [], "error_rate": 0}}"#, "'x'", "no faces"),
            (r#"{"x": {"error_rate": 0}}"#, "'x'", "missing field `faces`"),
            (r#"{"x": {"faces": [1], "faces": [2], "error_rate": 0}}"#, "'x'", "duplicate field `faces`"),
            (r#"{"x": {"faces": [1.5], "error_rate": 0}}"#, "'x'", "1.5"),
            (r#"{"x": {"faces": [9223372036854775808], "error_rate": 0}}"#, "'x'", "9223372036854775808"),
            (r#"{"x": {"faces": [1], "error_rate": 1.01}}"#, "'x'", "1.01; allowed: 0 to 1"),
            (r#"{"x": {"faces": [1], "error_rate": -0.1}}"#, "'x'", "-0.1; allowed: 0 to 1"),
            (r#"{"x": {"faces": [1], "error_rate": 1e999}}"#, "'x'", "number out of range"),
            (r#"{"x": {"faces": [1], "error_rate": NaN}}"#, "'x'", "expected value"),
            (r#"{"x": {"faces": [1], "error_rate": "high"}}"#, "'x'", "high"),
            (r#"{"x": {"faces": [1], "error_rate": 0, "colour": "red"}}"#, "'x'", "colour"),
            (r#"{"x": {"faces": [1], "error_rate": 0, "a\nb\u202e": 1}}"#, "'x'", r"a\nb\u{202e}"),
            (&format!(r#"{{"x": {{"faces": [1], "error_rate": "{}"}}}}"#, "y".repeat(9999)), "'x'", "yyyy"),
        ] {
            let error = format!("{:#}", Catalogue::parse(json).unwrap_err());
            assert!(error.contains(die) && error.contains(fault) && !error.contains('\n'), "{json} gave: {error}");
            assert!(error.chars().count() <= MAX_FAULT + 20, "{error}");
        }
    }

    #[test]
    fn byte_order_mark_is_ignored() {
        let dice = Catalogue::parse("\u{feff}{\"x\": {\"faces\": [1], \"error_rate\": 0}}").unwrap();
        assert_eq!(dice.identifiers(), ["x"]);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Catalogue::load(Some(Path::new("no-such-file.json"))).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-file.json"));
    }
}
