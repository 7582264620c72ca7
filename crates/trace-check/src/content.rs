//! What spans say: attributes, status, events, links, log lines.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use crate::bars;
use crate::failure::Broken;
use crate::selection::{Bounds, Selection, matches};

/// The type of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // OpenTelemetry's types
pub enum Type {
    Text,
    Integer,
    Float,
    Boolean,
    List,
}

impl Type {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(_) => Some(Self::Text),
            Value::Number(number) if number.is_f64() => Some(Self::Float),
            Value::Number(_) => Some(Self::Integer),
            Value::Bool(_) => Some(Self::Boolean),
            Value::Array(_) => Some(Self::List),
            Value::Null | Value::Object(_) => None,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Type::{self:?}")
    }
}

fn text(value: Option<&Value>) -> String {
    value.map_or_else(|| "no such attribute".to_owned(), |value| bars::name(&value.to_string()))
}

impl Selection<'_> {
    fn value(&self, span: usize, attribute: &str) -> Option<&Value> {
        self.trace.details(span).attributes.get(attribute)
    }

    /// Each has this attribute with this value, in the same type: 3 is neither 3.0 nor "3".
    #[track_caller]
    pub fn attribute(self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let expected = format!("{name:?} is {value}");
        self.each("attribute", format!("{name:?}, {value}"), &expected, |this, i| {
            let found = this.value(i, name);
            (found != Some(&value)).then(|| text(found))
        })
    }

    /// Each has this attribute, with a value of this type.
    #[track_caller]
    pub fn attribute_type(self, name: &str, of: Type) -> Self {
        let expected = format!("{name:?} is of {of}");
        self.each("attribute_type", format!("{name:?}, {of}"), &expected, |this, i| {
            let found = this.value(i, name);
            (found.and_then(Type::of) != Some(of)).then(|| text(found))
        })
    }

    /// None has this attribute.
    #[track_caller]
    pub fn without_attribute(self, name: &str) -> Self {
        let expected = format!("no attribute {name:?}");
        self.each("without_attribute", format!("{name:?}"), &expected, |this, i| {
            this.value(i, name).map(|value| text(Some(value)))
        })
    }

    /// Each has this attribute, and no two have the same value.
    #[track_caller]
    pub fn distinct(self, name: &str) -> Self {
        let expected = format!("each has another {name:?}");
        let mut count = HashMap::<String, usize>::new();
        for &i in &self.spans {
            *count.entry(text(self.value(i, name))).or_default() += 1;
        }
        self.each("distinct", format!("{name:?}"), &expected, |this, i| {
            let value = this.value(i, name);
            let times = count.get(&text(value)).copied().unwrap_or(0);
            match value {
                None => Some(text(None)),
                Some(_) => (times > 1).then(|| format!("{}, as {} others", text(value), times - 1)),
            }
        })
    }

    /// The status of each is Error.
    #[track_caller]
    pub fn failed(self) -> Self {
        self.each("failed", String::new(), "the status Error", |this, i| {
            (!this.trace.tree().spans[i].failed).then(|| "another status".to_owned())
        })
    }

    /// The status of each is Error, with this description, in which `*` stands for any text.
    #[track_caller]
    pub fn failed_with(self, message: &str) -> Self {
        let expected = format!("the status Error, {message:?}");
        self.each("failed_with", format!("{message:?}"), &expected, |this, i| {
            let span = &this.trace.tree().spans[i];
            match span.failed {
                true => (!matches(message, &span.message)).then(|| format!("{:?}", bars::name(&span.message))),
                false => Some("another status".to_owned()),
            }
        })
    }

    /// The status of none is Error.
    #[track_caller]
    pub fn not_failed(self) -> Self {
        self.each("not_failed", String::new(), "a status other than Error", |this, i| {
            let span = &this.trace.tree().spans[i];
            span.failed.then(|| format!("Error {:?}", bars::name(&span.message)))
        })
    }

    /// Each has so many events of this name.
    #[track_caller]
    pub fn events(self, name: &str, number: impl Into<Bounds>) -> Self {
        let number = number.into();
        let expected = format!("{number} events {name:?}");
        self.each("events", format!("{name:?}, {number}"), &expected, |this, i| {
            let found = this.trace.details(i).events.iter().filter(|event| matches(name, event)).count();
            (!number.contains(found)).then(|| format!("{found}"))
        })
    }

    /// Each links to each of `others`.
    #[track_caller]
    pub fn linked_to(self, others: &Selection<'_>) -> Self {
        let expected = format!("a link to each of {}", others.code);
        self.each("linked_to", others.code.clone(), &expected, |this, i| {
            let (trace, links) = (this.trace, &this.trace.details(i).links);
            let is_linked = |other: usize| {
                let (id, of) = (trace.tree().spans[other].id, &trace.details(other).trace_id);
                links.iter().any(|link| link.span == id && link.trace_id == *of)
            };
            let linked = others.spans.iter().filter(|&&other| is_linked(other)).count();
            let holds = linked > 0 && linked == others.spans.len();
            (!holds).then(|| format!("{linked} of {}", others.spans.len()))
        })
    }

    /// Each has so many log lines with this message, in which `*` stands for any text, and with its two ids.
    #[track_caller]
    pub fn logged(self, message: &str, number: impl Into<Bounds>) -> Self {
        let number = number.into();
        self.state("logged", format!("{message:?}, {number}"), |this| {
            let mut lines = HashMap::<(&str, &str), usize>::new();
            for line in this.trace.lines() {
                let text = |key: &str| line[key].as_str().unwrap_or_default();
                if matches(message, text("message")) {
                    *lines.entry((text("trace_id"), text("span_id"))).or_default() += 1;
                }
            }
            let count = |i: usize| {
                let (trace_id, id) = (&this.trace.details(i).trace_id, this.trace.tree().spans[i].id.to_string());
                lines.get(&(trace_id.as_str(), id.as_str())).copied().unwrap_or(0)
            };
            let wrong: Vec<_> = this.spans.iter().copied().filter(|&i| !number.contains(count(i))).collect();
            let Some(&first) = wrong.first() else { return Ok(()) };
            let expected = format!("each has {number} log lines {message:?}");
            Broken::unless(false, expected, format!("{}: {}", this.name(first), count(first)), &wrong)
        })
    }
}
