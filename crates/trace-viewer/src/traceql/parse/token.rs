//! The smallest parts of a query: words, quoted texts, numbers, durations, names of attributes. White space and
//! comments after each are skipped.

use winnow::ascii::{digit0, digit1, multispace1, till_line_ending};
use winnow::combinator::{alt, eof, not, opt, preceded, repeat, terminated};
use winnow::prelude::*;
use winnow::token::{any, one_of, take_until, take_while};

use super::super::Value;
use super::{Input, Parsed, expected, refused};

/// White space and Go's comments, as Tempo's lexer skips them.
pub(super) fn space(input: &mut Input<'_>) -> Parsed<()> {
    let line = ("//", till_line_ending).void();
    let block = ("/*", alt((take_until(0.., "*/"), winnow::token::rest)), alt(("*/", eof))).void();
    repeat(0.., alt((multispace1.void(), line, block))).parse_next(input)
}

pub(super) fn symbol<'a>(token: &'static str) -> impl Parser<Input<'a>, &'a str, super::Error> {
    terminated(token, space)
}

/// Letters, digits and `_`.
pub(super) fn word<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    terminated(bare_word, space).parse_next(input)
}

/// A word without the white space after it.
pub(super) fn bare_word<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    let first = one_of(|c: char| c.is_alphabetic() || c == '_');
    (first, take_while(0.., |c: char| c.is_alphanumeric() || c == '_')).take().parse_next(input)
}

/// The name of an attribute: all up to white space or an operator, with parts in quotes.
pub(super) fn attribute(input: &mut Input<'_>) -> Parsed<String> {
    let is_part = |c: char| !c.is_whitespace() && !"{}()=~!<>&|^,\"".contains(c);
    let mut name = String::new();
    loop {
        if input.input.starts_with('"') {
            let (part, rest) = quoted(input.input).ok_or_else(|| expected(input, "a name that ends with its quote"))?;
            name.push_str(&part);
            input.input = rest;
        } else {
            let part: &str = take_while(0.., is_part).parse_next(input)?;
            if part.is_empty() {
                break;
            }
            name.push_str(part);
        }
    }
    if name.is_empty() {
        return Err(expected(input, "the name of an attribute"));
    }
    space(input)?;
    Ok(name)
}

/// A text in quotes, with Go's escapes, or in backquotes, without.
pub(super) fn text(input: &mut Input<'_>) -> Parsed<Value<'static>> {
    let unterminated = |input: &Input<'_>| expected(input, "a text that ends with its quote");
    let text = if input.input.starts_with('`') {
        let (text, rest) = quoted(input.input).ok_or_else(|| unterminated(input))?;
        input.input = rest;
        text.replace('\r', "")
    } else {
        let start = *input;
        any.parse_next(input)?;
        let mut text = String::new();
        loop {
            match any::<_, super::Error>.parse_next(input) {
                Ok('"') => break text,
                Ok('\\') => text.push(escape(input)?),
                Ok(c) if c != '\n' => text.push(c),
                _ => return Err(unterminated(&start)).inspect_err(|_| *input = start),
            }
        }
    };
    space(input)?;
    Ok(Value::Text(text.into()))
}

/// What follows a backslash in Go.
fn escape(input: &mut Input<'_>) -> Parsed<char> {
    let known = |c| {
        Some(match c {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' | '"' => c,
            _ => return None,
        })
    };
    let start = *input;
    let first = opt(any).parse_next(input)?.unwrap_or(' ');
    let (digits, radix) = match first {
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        '0'..='7' => (3, 8),
        _ => {
            return known(first)
                .ok_or_else(|| expected(&start, "an escape such as \\n"))
                .inspect_err(|_| *input = start);
        }
    };
    if radix == 8 {
        *input = start;
    }
    let code: Result<&str, super::Error> =
        take_while(digits..=digits, move |c: char| c.is_digit(radix)).parse_next(input);
    let code = code.ok().and_then(|code| char::from_u32(u32::from_str_radix(code, radix).ok()?));
    code.ok_or_else(|| expected(&start, "an escape such as \\n")).inspect_err(|_| *input = start)
}

/// An integer, a float, or a duration.
pub(super) fn number(input: &mut Input<'_>) -> Parsed<Value<'static>> {
    let start = *input;
    let fraction = alt(((digit1, opt(('.', digit0))).void(), ('.', digit1).void()));
    let exponent = opt((one_of(['e', 'E']), opt(one_of(['+', '-'])), digit1));
    let number: &str = (fraction, exponent).take().parse_next(input)?;
    let units: &str = take_while(0.., |c: char| c.is_numeric() || "nsuµμmhdwy.".contains(c)).parse_next(input)?;
    let length = number.len() + units.len();
    let value = match duration(&start.input[..length]) {
        Some(nanos) if !units.is_empty() => Some(Value::Duration(nanos)),
        _ => {
            input.input = &start.input[number.len()..];
            match number.contains(['.', 'e', 'E']) {
                true => number.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float),
                false => number.parse().ok().map(Value::Integer),
            }
        }
    };
    let value = value.ok_or_else(|| refused(input, format!("the number {number} is too large")))?;
    not(one_of(|c: char| c.is_alphanumeric() || c == '_'))
        .parse_next(input)
        .map_err(|_: super::Error| expected(input, "an operator after a number"))?;
    preceded(space, winnow::combinator::empty).parse_next(input)?;
    Ok(value)
}

/// The text in quotes at the start of `text`, and the rest after the closing quote. A backslash escapes the next
/// character, but not in backquotes.
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    let quote = chars.next()?;
    loop {
        match chars.next()? {
            c if c == quote => return Some((value, chars.as_str())),
            '\\' if quote == '"' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

/// A duration as Go or Prometheus writes it (`1.5s`, `1m30s`, `1d`), in nanoseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
        let units = &rest[unit_at..];
        let unit = &units[..units.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(units.len())];
        total += number
            * match unit {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                "d" => 24.0 * 3600e9,
                "w" => 7.0 * 24.0 * 3600e9,
                "y" => 365.0 * 24.0 * 3600e9,
                _ => return None,
            };
        rest = &units[unit.len()..];
    }
    (!text.is_empty() && total < i64::MAX as f64).then_some(total.round() as i64)
}
