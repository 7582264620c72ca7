//! Trace and span ids: 16 and 8 bytes, never all zero (W3C Trace Context, section 3.2.2).

use std::fmt;
use std::num::NonZeroU64;

/// The id that all spans of one trace share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TraceId(u128);

/// The id of one span, unique within its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpanId(NonZeroU64);

/// Bytes in hexadecimal digits: an id as sent, which may be no valid one.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl TraceId {
    /// No trace has it.
    pub(crate) const LEAST: Self = Self(0);

    /// The id in an OTLP message, if it is valid.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = u128::from_be_bytes(bytes.try_into().ok()?);
        (number != 0).then_some(Self(number))
    }

    /// Parses an id in a URL as Tempo does: hexadecimal, leading zeros may be missing.
    pub(crate) fn from_hex(text: &str) -> Result<Self, String> {
        if let Some((at, other)) = text.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
            let at = at + 1;
            return Err(format!(
                "trace IDs can only contain hex characters: invalid character '{other}' at position {at}"
            ));
        }
        match u128::from_str_radix(text, 16) {
            Ok(number) if text.len() <= 32 => Ok(Self(number)),
            _ if text.is_empty() => Err("please provide a trace ID".to_owned()),
            _ => Err("trace IDs can't be larger than 128 bits".to_owned()),
        }
    }

    /// The id in an OTLP message.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl SpanId {
    /// The id in an OTLP message, if it is valid; a root span's parent id is empty.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        NonZeroU64::new(u64::from_be_bytes(bytes.try_into().ok()?)).map(Self)
    }

    /// Parses 1 to 16 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        NonZeroU64::new(u64::from_str_radix(text, 16).ok()?).map(Self)
    }

    /// The id in an OTLP message.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_parsed_as_tempo_parses_it() {
        let full = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").expect("a full id");
        assert_eq!(TraceId::from_hex("AF7651916cd43dd8448eb211c80319c"), Ok(full));
        assert_eq!(TraceId::from_hex("1").map(|id| id.to_string()), Ok(format!("{:032}", 1)));
        assert_eq!(
            TraceId::from_hex("zzz"),
            Err("trace IDs can only contain hex characters: invalid character 'z' at position 1".to_owned())
        );
        assert_eq!(
            TraceId::from_hex("+1"),
            Err("trace IDs can only contain hex characters: invalid character '+' at position 1".to_owned())
        );
        assert_eq!(TraceId::from_hex(&"0".repeat(33)), Err("trace IDs can't be larger than 128 bits".to_owned()));
    }

    #[test]
    fn ids_of_the_wrong_length_or_zero_are_invalid() {
        assert_eq!(TraceId::from_bytes(&[1; 15]), None);
        assert_eq!(TraceId::from_bytes(&[0; 16]), None);
        assert_eq!(SpanId::from_bytes(&[]), None);
        assert_eq!(SpanId::from_bytes(&[0; 8]), None);
        assert_eq!(
            SpanId::from_bytes(&[0, 0, 0, 0, 0, 0, 1, 255]).map(|id| id.to_string()).as_deref(),
            Some("00000000000001ff")
        );
    }
}
