//! What is between the braces.

use regex::RegexBuilder;
use winnow::combinator::{Infix, Prefix, alt, expression as operators, opt, peek};
use winnow::prelude::*;
use winnow::token::any;

use super::super::field::{KINDS, STATUSES};
use super::super::{Arithmetic, Comparison, Expression, Field, INTRINSICS, Scope, Value};
use super::token::{attribute, bare_word, number, space, symbol, text};
use super::{
    Error, Input, MOST_NESTED, MOST_PATTERN_BYTES, MOST_PATTERNS, MOST_SIGNS, Parsed, count_part, expected, refused,
    symbol_here,
};

const OPERAND: &str = "a value or a field (name, duration, span.attribute, resource.attribute, .attribute, …)";

/// Operators bind as in Tempo: `&&` and `||` alike and from the left, tighter comparisons, `+ -`, `!`, `* / %`, `^`.
pub(super) fn expression(input: &mut Input<'_>) -> Parsed<Expression> {
    operators(operand).prefix(prefix).infix(infix).parse_next(input)
}

fn prefix<'a>(input: &mut Input<'a>) -> Parsed<Prefix<Input<'a>, Expression, Error>> {
    match opt(alt((symbol("!"), symbol("-")))).parse_next(input)? {
        Some(sign) => {
            count_sign(input)?;
            Ok(match sign {
                "!" => Prefix(45, |input, of| Expression::not(of).map_err(|reason| refused(input, reason))),
                _ => Prefix(35, |input, of| Expression::negative(of).map_err(|reason| refused(input, reason))),
            })
        }
        None => Err(expected(input, OPERAND)),
    }
}

fn count_sign(input: &mut Input<'_>) -> Parsed<()> {
    input.state.signs += 1;
    if input.state.signs > MOST_SIGNS { Err(refused(input, format!("more than {MOST_SIGNS} signs"))) } else { Ok(()) }
}

fn infix<'a>(input: &mut Input<'a>) -> Parsed<Infix<Input<'a>, Expression, Error>> {
    type Fold<'a> = Infix<Input<'a>, Expression, Error>;
    fn checked(input: &Input<'_>, result: Result<Expression, String>) -> Parsed<Expression> {
        result.map_err(|reason| refused(input, reason))
    }
    macro_rules! compare {
        ($comparison:ident) => {
            Infix::Left(20, |input, a, b| checked(input, Expression::compare(Comparison::$comparison, a, b)))
        };
    }
    macro_rules! calculate {
        ($side:ident, $power:literal, $operation:ident) => {
            Infix::$side($power, |input, a, b| checked(input, Expression::calculate(Arithmetic::$operation, a, b)))
        };
    }
    let words = alt((symbol("&&"), symbol("||"), symbol("=~"), symbol("!~"), symbol("!="), symbol(">="), symbol("<=")));
    let signs = alt((
        symbol("="),
        symbol(">"),
        symbol("<"),
        symbol("+"),
        symbol("-"),
        symbol("*"),
        symbol("/"),
        symbol("%"),
        symbol("^"),
    ));
    let fold: Fold<'a> = match alt((words, signs)).parse_next(input)? {
        "&&" => Infix::Left(10, |input, a, b| checked(input, Expression::join(a, b, Expression::And))),
        "||" => Infix::Left(10, |input, a, b| checked(input, Expression::join(a, b, Expression::Or))),
        "=~" => Infix::Left(20, |input, a, b| matching(input, a, b, true)),
        "!~" => Infix::Left(20, |input, a, b| matching(input, a, b, false)),
        "!=" => compare!(NotEqual),
        ">=" => compare!(GreaterOrEqual),
        "<=" => compare!(LessOrEqual),
        "=" => compare!(Equal),
        ">" => compare!(Greater),
        "<" => compare!(Less),
        "+" => calculate!(Left, 30, Add),
        "-" => calculate!(Left, 30, Subtract),
        "*" => calculate!(Left, 50, Multiply),
        "/" => calculate!(Left, 50, Divide),
        "%" => calculate!(Left, 50, Remainder),
        _ => calculate!(Right, 60, Power),
    };
    Ok(fold)
}

/// A pattern must match the whole text, and `.` matches line breaks, too, as in Tempo.
fn matching(input: &mut Input<'_>, of: Expression, pattern: Expression, wanted: bool) -> Parsed<Expression> {
    let Expression::Value(Value::Text(pattern)) = pattern else {
        return Err(refused(input, "=~ and !~ need a text in quotes on the right"));
    };
    let type_of = of.type_of();
    if !matches!(type_of, super::super::check::Type::Text | super::super::check::Type::Attribute) {
        return Err(refused(input, format!("=~ and !~ compare strings, not {type_of}")));
    }
    input.state.patterns += 1;
    if input.state.patterns > MOST_PATTERNS {
        return Err(refused(input, format!("the query has more than {MOST_PATTERNS} regular expressions")));
    }
    let compile = |pattern: &str| {
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(MOST_PATTERN_BYTES).dfa_size_limit(MOST_PATTERN_BYTES).build()
    };
    // By itself first: `a)|(b` is valid only within the parentheses.
    let compiled = compile(&pattern).and_then(|_| compile(&format!("^(?s:{pattern})$")));
    let compiled = compiled.map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        refused(input, format!("invalid regular expression `{pattern}`: {reason}"))
    })?;
    Ok(Expression::Match(Box::new(of), Box::new(compiled), wanted))
}

pub(super) fn comparison(input: &mut Input<'_>) -> Parsed<Comparison> {
    alt((
        symbol("!=").value(Comparison::NotEqual),
        symbol(">=").value(Comparison::GreaterOrEqual),
        symbol("<=").value(Comparison::LessOrEqual),
        symbol("=").value(Comparison::Equal),
        symbol(">").value(Comparison::Greater),
        symbol("<").value(Comparison::Less),
    ))
    .parse_next(input)
}

/// Parses what is within an opening parenthesis.
pub(super) fn nested<'a, T>(input: &mut Input<'a>, parse: impl FnOnce(&mut Input<'a>) -> Parsed<T>) -> Parsed<T> {
    input.state.nested += 1;
    if input.state.nested > MOST_NESTED {
        return Err(refused(input, format!("more than {MOST_NESTED} parentheses within each other")));
    }
    let result = parse(input)?;
    input.state.nested -= 1;
    Ok(result)
}

pub(super) fn operand(input: &mut Input<'_>) -> Parsed<Expression> {
    let mut rest = input.input.chars();
    let operand = match (rest.next(), rest.next()) {
        (Some('('), _) => {
            symbol("(").parse_next(input)?;
            return nested(input, |input| {
                let within = expression(input)?;
                symbol_here(")", input)?;
                Ok(within)
            });
        }
        (Some('"' | '`'), _) => Expression::Value(text(input)?),
        (Some('0'..='9'), _) | (Some('.'), Some('0'..='9')) => Expression::Value(number(input)?),
        (Some(first), _) if first == '.' || first == '_' || first.is_alphabetic() => {
            match opt(keyword).parse_next(input)? {
                Some(value) => Expression::Value(value),
                None => return Ok(Expression::Field(field_here(input)?)),
            }
        }
        _ => return winnow::combinator::fail(input),
    };
    count_part(input)?;
    Ok(operand)
}

/// A value that is a word.
fn keyword(input: &mut Input<'_>) -> Parsed<Value<'static>> {
    let word = bare_word(input)?;
    let name = |names: &[&'static str]| names.iter().find(|name| **name == word).copied();
    let value = match word {
        "nil" => Value::Nil,
        "true" => Value::Flag(true),
        "false" => Value::Flag(false),
        "minInt" => Value::Integer(i64::MIN),
        "maxInt" => Value::Integer(i64::MAX),
        _ => match (name(&STATUSES), name(&KINDS)) {
            (Some(status), _) => Value::Status(status),
            (_, Some(kind)) => Value::Kind(kind),
            _ => return winnow::combinator::fail(input),
        },
    };
    space(input)?;
    Ok(value)
}

/// A field, or an error that says what could be here.
pub(super) fn field_here(input: &mut Input<'_>) -> Parsed<Field> {
    count_part(input)?;
    let start = *input;
    match opt(field).parse_next(input)? {
        Some(field) => Ok(field),
        None => {
            *input = start;
            Err(expected(input, OPERAND))
        }
    }
}

/// A field's name: an intrinsic, `.attribute`, `span.attribute` and so on.
pub(super) fn field(input: &mut Input<'_>) -> Parsed<Field> {
    let scope = opt(bare_word).parse_next(input)?.unwrap_or_default();
    match opt(peek(any)).parse_next(input)? {
        Some('.') => {
            let scope = match scope {
                "" => Scope::Any,
                "span" => Scope::Span,
                "resource" => Scope::Resource,
                "event" => Scope::Event,
                "link" => Scope::Link,
                "instrumentation" => Scope::Instrumentation,
                "parent" => return Err(refused(input, "parent is not supported, as in Tempo")),
                _ => return winnow::combinator::fail(input),
            };
            any.parse_next(input)?;
            Ok(Field::Attribute(scope, attribute(input)?))
        }
        Some(':') => {
            any.parse_next(input)?;
            let name = bare_word(input)?;
            intrinsic(input, &format!("{scope}:{name}"))
        }
        _ if scope == "parent" => Err(refused(input, "parent is not supported, as in Tempo")),
        _ => intrinsic(input, scope),
    }
}

fn intrinsic(input: &mut Input<'_>, name: &str) -> Parsed<Field> {
    match INTRINSICS.iter().find(|(known, _)| *known == name) {
        Some((_, intrinsic)) => {
            space(input)?;
            Ok(Field::Intrinsic(*intrinsic))
        }
        None => winnow::combinator::fail(input),
    }
}

impl Expression {
    pub(super) fn add_fields(&self, fields: &mut Vec<Field>) {
        match self {
            Self::Value(_) => {}
            Self::Field(field) => fields.push(field.clone()),
            Self::Compare(_, left, right)
            | Self::Calculate(_, left, right)
            | Self::And(left, right)
            | Self::Or(left, right) => {
                left.add_fields(fields);
                right.add_fields(fields);
            }
            Self::Match(of, ..) | Self::Not(of) | Self::Negative(of) | Self::Exists(of) | Self::Missing(of) => {
                of.add_fields(fields);
            }
        }
    }
}
