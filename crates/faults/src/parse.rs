//! The value of `FAULTS` and of the watched file: `slow-die=fair:800,lost-context,on`.

use std::fmt;
use std::str::FromStr;

use crate::table::{Fault, TABLE};

/// The word that shows the page.
const PAGE: &str = "on";

/// A fault that is on, with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Which one.
    pub fault: Fault,
    /// Its number, if it takes one.
    pub number: Option<u64>,
    /// The die that it is about, if it is about one.
    pub die: Option<String>,
}

/// Which faults are on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Each at most once.
    pub on: Vec<Active>,
    /// Whether the page of switches is shown.
    pub page: bool,
}

impl FromStr for Faults {
    type Err = String;

    /// # Errors
    /// What is wrong, and what is allowed.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == PAGE {
                faults.page = true;
                continue;
            }
            let active: Active = entry.parse()?;
            if faults.on.iter().any(|other| other.fault == active.fault) {
                return Err(format!("'{}' is there twice", active.fault.info().name));
            }
            faults.on.push(active);
        }
        Ok(faults)
    }
}

impl FromStr for Active {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (text, None),
        };
        let fault = Fault::from_name(name).ok_or_else(|| {
            let names: Vec<_> = TABLE.iter().map(|info| info.name).collect();
            format!("'{name}' is no fault; allowed: {PAGE}, {}", names.join(", "))
        })?;
        let Some(takes) = &fault.info().value else {
            return match value {
                None => Ok(Self { fault, number: None, die: None }),
                Some(value) => Err(format!("'{value}' is not valid for {name}; allowed: no value")),
            };
        };
        let Some(value) = value else { return Ok(Self { fault, number: Some(takes.default), die: None }) };
        let (die, digits) = match value.rsplit_once(':') {
            Some((die, digits)) if takes.of_die && !die.is_empty() => (Some(die.to_owned()), digits),
            _ => (None, value),
        };
        match digits.parse() {
            Ok(number) if takes.range.contains(&number) => Ok(Self { fault, number: Some(number), die }),
            _ => {
                let (from, to) = takes.range.clone().into_inner();
                let or_die = if takes.of_die { ", or the name of a die, a colon and the number" } else { "" };
                Err(format!("'{value}' is not valid for {name}; allowed: a number from {from} to {to}{or_die}"))
            }
        }
    }
}

impl fmt::Display for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.info().name)?;
        if self.number.is_some() { write!(f, "={}", self.value()) } else { Ok(()) }
    }
}

impl Active {
    /// Its value as settings write it; empty where it takes none.
    pub fn value(&self) -> String {
        let number = self.number.map(|number| number.to_string()).unwrap_or_default();
        self.die.iter().cloned().chain([number]).collect::<Vec<_>>().join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_with_their_values_and_written_again() {
        let faults: Faults = " lost-context, on,slow-die=a:b:800 ,clock-skew,".parse().unwrap();
        assert!(faults.page);
        let written: Vec<_> = faults.on.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["lost-context", "slow-die=a:b:800", "clock-skew=300"]);
        assert_eq!(written.join(",").parse(), Ok(Faults { page: false, ..faults }));
        assert_eq!("".parse(), Ok(Faults::default()));
    }

    #[test]
    fn error_names_the_fault_its_value_and_what_is_allowed() {
        for (text, expected) in [
            ("slow-dice", "'slow-dice' is no fault; allowed: on, lock-across-await, "),
            ("ON", "'ON' is no fault; allowed: on, "),
            ("lost-context=1", "'1' is not valid for lost-context; allowed: no value"),
            ("clock-skew=", "'' is not valid for clock-skew; allowed: a number from 1 to 60000"),
            ("clock-skew=fair:3", "'fair:3' is not valid for clock-skew; allowed: a number from 1 to 60000"),
            (
                "slow-die=fair",
                "'fair' is not valid for slow-die; allowed: a number from 1 to 1500, or the name of a die",
            ),
            ("slow-die=:5", "':5' is not valid for slow-die"),
            ("slow-die=-1", "'-1' is not valid for slow-die"),
            ("slow-die,slow-die=5", "'slow-die' is there twice"),
        ] {
            let error = text.parse::<Faults>().unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
