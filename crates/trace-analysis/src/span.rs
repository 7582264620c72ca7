//! A span, without where it came from.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};
use smol_str::SmolStr;

/// The attributes that the analysis reads: of the span, and `exception.*` of its last exception event. A reader can
/// leave out all others.
pub const READ_ATTRIBUTES: [&str; 11] = [
    "circuit_breaker.state",
    "circuit_breaker.target",
    "error.type",
    "exception.message",
    "exception.type",
    "http.request.method",
    "http.response.status_code",
    "peer.service",
    "server.address",
    "server.port",
    "service.peer.name",
];

/// The id of a span, unique within its trace. Displayed as 16 hex digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub u64);

impl SpanId {
    /// The id of this number; `None` for 0, which is no id (W3C Trace Context).
    pub fn new(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// OpenTelemetry's kinds of spans. Displayed in capitals, as there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // OpenTelemetry's names
pub enum Kind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Kind {
    /// OpenTelemetry's name in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Unspecified => "UNSPECIFIED",
            Kind::Internal => "INTERNAL",
            Kind::Server => "SERVER",
            Kind::Client => "CLIENT",
            Kind::Producer => "PRODUCER",
            Kind::Consumer => "CONSUMER",
        }
    }

    /// The kind of this number in OTLP; an unknown one is unspecified.
    pub fn from_number(number: i64) -> Self {
        match number {
            1 => Kind::Internal,
            2 => Kind::Server,
            3 => Kind::Client,
            4 => Kind::Producer,
            5 => Kind::Consumer,
            _ => Kind::Unspecified,
        }
    }

    /// The kind of this name in capitals; an unknown one is unspecified.
    pub fn from_name(name: &str) -> Self {
        (1..=5).map(Self::from_number).find(|kind| kind.name() == name).unwrap_or_default()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What the analysis uses of a span. A copy of a text has no memory of its own: a trace may have 100,000 spans, and all
/// that is said of them has their names again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// Its id.
    pub id: SpanId,
    /// The parent's id, whether the parent is in the trace or not.
    pub parent: Option<SpanId>,
    /// Its name.
    pub name: SmolStr,
    /// The `service.name` of its resource.
    pub service: SmolStr,
    /// Its kind.
    pub kind: Kind,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970. [`Tree::new`](crate::Tree::new) puts an end before the start at the start.
    pub end: u64,
    /// Whether its status is Error.
    pub failed: bool,
    /// The description of that status.
    pub message: SmolStr,
    /// [`READ_ATTRIBUTES`] as text; others do no harm.
    pub attributes: Vec<(SmolStr, SmolStr)>,
}

impl Span {
    /// A span with this id and nothing else.
    pub fn new(id: SpanId) -> Self {
        Self { id, ..Self::default() }
    }

    /// Nanoseconds from start to end.
    pub fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// The attribute of this name, unless it is empty.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Where a call goes, by its own attributes: a service or a host. An IP address is no name.
    pub fn destination(&self) -> Option<&str> {
        let is_name = |text: &&str| text.parse::<IpAddr>().is_err();
        let host = || self.attribute("server.address").filter(is_name);
        let named = self.attribute("service.peer.name").or_else(|| self.attribute("peer.service")).or_else(host);
        named.filter(|_| matches!(self.kind, Kind::Client | Kind::Producer))
    }

    /// Whether it says that it ended because its client went away.
    pub(crate) fn says_cancelled(&self) -> bool {
        self.attribute("error.type") == Some("cancelled")
    }

    /// Whether it is an HTTP call without a response and without an error: its caller went away, which is no error of
    /// the call (semantic conventions), so only the spans beside it say so.
    pub(crate) fn is_call_without_outcome(&self) -> bool {
        let has = |name| self.attribute(name).is_some();
        let is_http_call = self.kind == Kind::Client && has("http.request.method");
        is_http_call && !self.failed && !has("http.response.status_code")
    }
}

/// How far two spans may overlap and still count as sequential: the next one may start before the end time of the
/// previous one is taken.
pub(crate) fn tolerance(duration: u64) -> u64 {
    const MAX: u64 = 200_000;
    (duration / 50).min(MAX)
}
