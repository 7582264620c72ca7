//! Checks a protobuf message before anything is decoded: its form, and how many messages are in it.
//!
//! A message of two bytes becomes a struct of up to a hundred bytes: six megabytes of such would take hundreds.

use crate::schema::{Kind, Message};
use crate::wire::{Field, Fields, Malformed};

/// Messages in a message: resources, scopes, spans, events, links, attributes and values. A body of the largest size has
/// fewer, unless they have fewer than 17 bytes each on average.
pub(crate) const MOST_MESSAGES: usize = 500_000;

/// What is wrong with a message that has more.
pub(crate) const TOO_MANY: Malformed = Malformed("more than 500000 messages (spans, attributes, values …) in one");

/// Messages in messages; protobuf's own limit.
const DEEPEST: usize = 100;

/// Checks all that `decode` reads, so that it does not fail in the middle.
///
/// # Errors
/// `message` is not of the form of `schema`, or holds more than [`MOST_MESSAGES`].
pub(crate) fn check(message: &[u8], schema: &Message) -> Result<(), Malformed> {
    Check { left: MOST_MESSAGES }.message(message, schema, 0)
}

struct Check {
    left: usize,
}

impl Check {
    fn message(&mut self, message: &[u8], schema: &Message, depth: usize) -> Result<(), Malformed> {
        if depth > DEEPEST {
            return Err(Malformed("messages are nested too deeply"));
        }
        for field in Fields(message) {
            let (number, field) = field?;
            let Some(entry) = schema.numbered(number) else { continue };
            self.field(field, entry.kind, depth)?;
        }
        Ok(())
    }

    fn field(&mut self, field: Field<'_>, kind: Kind, depth: usize) -> Result<(), Malformed> {
        match kind {
            Kind::Message(schema) => {
                self.left = self.left.checked_sub(1).ok_or(TOO_MANY)?;
                self.message(field.bytes()?, schema, depth + 1)
            }
            // Cheaper than to look at each character; `decode` does that again.
            Kind::Text if field.bytes()?.is_ascii() => Ok(()),
            Kind::Text => field.text().map(drop),
            Kind::Id | Kind::Bytes => field.bytes().map(drop),
            Kind::Bool | Kind::Int64 | Kind::Uint32 | Kind::Enum(_) => field.varint().map(drop),
            Kind::Fixed32 => field.fixed32().map(drop),
            Kind::Fixed64 | Kind::Double => field.fixed64().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TRACES;

    /// A field that holds a message.
    fn holding(number: u8, content: &[u8]) -> Vec<u8> {
        let mut message = vec![number << 3 | 2];
        prost::encoding::encode_varint(content.len() as u64, &mut message);
        message.extend(content);
        message
    }

    fn span(content: &[u8]) -> Vec<u8> {
        holding(1, &holding(2, &holding(2, content)))
    }

    #[test]
    fn messages_are_counted_wherever_they_are() {
        let event = [11 << 3 | 2, 0];
        assert_eq!(check(&span(&event.repeat(MOST_MESSAGES - 3)), &TRACES), Ok(()));
        assert_eq!(check(&span(&event.repeat(MOST_MESSAGES - 2)), &TRACES), Err(TOO_MANY));
        let scope = [2 << 3 | 2, 0];
        assert_eq!(check(&holding(1, &scope.repeat(MOST_MESSAGES)), &TRACES), Err(TOO_MANY));
        let entity = holding(1, &holding(1, &[3 << 3 | 2, 0].repeat(MOST_MESSAGES)));
        assert_eq!(check(&entity, &TRACES), Err(TOO_MANY));
    }

    #[test]
    fn what_is_not_otlp_is_malformed() {
        let deep = |depth| (0..depth).fold(Vec::new(), |value, _| holding(5, &holding(1, &value)));
        let attribute = |value: &[u8]| span(&holding(9, &holding(2, value)));
        assert_eq!(check(&attribute(&deep(40)), &TRACES), Ok(()));
        assert_eq!(check(&attribute(&deep(60)), &TRACES), Err(Malformed("messages are nested too deeply")));
        assert_eq!(check(&span(&holding(5, b"\xff")), &TRACES), Err(Malformed("a text is not UTF-8")));
        assert!(check(&span(&[7 << 3, 1]), &TRACES).is_err(), "a start that is no fixed64");
        assert!(check(&span(&[5 << 3 | 2, 9]), &TRACES).is_err(), "a text that ends behind its message");
        assert_eq!(check(&holding(9, b"\xff"), &TRACES), Ok(()), "a field of a newer OTLP");
    }
}
