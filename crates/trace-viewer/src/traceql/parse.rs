//! The grammar of queries: pipelines of sets of spans, and hints.
//!
//! With winnow, whose combinator for expressions has operators with Tempo's precedence. pest was the other choice: it
//! needs a grammar in a file of its own and a build step, and what it returns has to be walked a second time. The text
//! of an error is made here, and what a query may cost is counted while it is parsed.

mod expression;
mod token;

use std::fmt;

use winnow::combinator::{Infix, alt, cut_err, eof, expression as operators, opt, peek, separated};
use winnow::error::{ContextError, ErrMode, FromExternalError, ParserError, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::stream::Stateful;
use winnow::token::any;

use super::{Aggregate, Expression, Field, Function, Query, SpanSets, Stage, Value};
pub(crate) use token::{duration, quoted};
use token::{space, symbol, word};

/// Most bytes of a query.
const MOST_BYTES: usize = 16 << 10;
/// Most fields, values and sets of spans of a query. What they cost is multiplied by the number of spans.
const MOST_PARTS: usize = 256;
/// Most signs (`!`, `-`) of a query, and how deep parentheses may be nested: the parser calls itself for each.
const MOST_SIGNS: usize = 256;
const MOST_NESTED: usize = 32;
/// Most regular expressions of a query, and most bytes of each when it is compiled.
const MOST_PATTERNS: usize = 16;
const MOST_PATTERN_BYTES: usize = 256 << 10;

type Input<'a> = Stateful<&'a str, Cost>;
type Error = ErrMode<ContextError>;
type Parsed<T> = Result<T, Error>;

/// What a query costs, counted while it is parsed.
#[derive(Debug, Default, Clone, Copy)]
struct Cost {
    parts: usize,
    nested: usize,
    signs: usize,
    patterns: usize,
}

/// Why a query is refused that the grammar accepts.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn refused(input: &Input<'_>, reason: impl Into<String>) -> Error {
    ErrMode::Cut(ContextError::from_external_error(input, Refused(reason.into())))
}

fn count_part(input: &mut Input<'_>) -> Parsed<()> {
    input.state.parts += 1;
    if input.state.parts > MOST_PARTS {
        return Err(refused(input, format!("the query has more than {MOST_PARTS} fields, values and filters")));
    }
    Ok(())
}

fn expected(input: &Input<'_>, what: &'static str) -> Error {
    let mut error = ContextError::from_input(input);
    error.push(StrContext::Expected(StrContextValue::Description(what)));
    ErrMode::Cut(error)
}

impl Query {
    /// Parses a query.
    ///
    /// # Errors
    /// What was expected at which character, or why such a query is refused.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("the query has {} bytes, more than {MOST_BYTES}", text.len()));
        }
        let input = Stateful { input: text, state: Cost::default() };
        query.parse(input).map_err(|error| message(text, error.offset(), error.inner()))
    }
}

/// Parses a field's name.
pub(super) fn field(text: &str) -> Option<Field> {
    let input = Stateful { input: text, state: Cost::default() };
    expression::field.parse(input).ok()
}

fn message(text: &str, offset: usize, error: &ContextError) -> String {
    let at = text[..offset].chars().count() + 1;
    if let Some(reason) = error.cause() {
        return format!("{reason} (at character {at})");
    }
    let wanted = error.context().filter_map(|context| match context {
        StrContext::Expected(value) => Some(value.to_string()),
        _ => None,
    });
    let wanted = wanted.collect::<Vec<_>>().join(" or ");
    let found: String = text[offset..].chars().take(12).collect();
    let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
    let wanted = if wanted.is_empty() { "something else" } else { &wanted };
    format!("expected {wanted} at character {at}, found {found}")
}

fn query(input: &mut Input<'_>) -> Parsed<Query> {
    space(input)?;
    let mut fields = Vec::new();
    let stages = pipeline(input, &mut fields)?;
    while opt(peek_word("with")).parse_next(input)?.is_some() {
        hints(input)?;
    }
    if eof::<_, Error>.parse_next(input).is_err() {
        return Err(expected(input, "`|`, `&&`, `||`, `with` or the end of the query"));
    }
    for stage in &stages {
        stage.add_fields(&mut fields);
    }
    let mut unique = Vec::with_capacity(fields.len());
    for field in fields {
        if !unique.contains(&field) {
            unique.push(field);
        }
    }
    Ok(Query { pipeline: stages, fields: unique })
}

/// `selected` gets the fields of `select`.
fn pipeline(input: &mut Input<'_>, selected: &mut Vec<Field>) -> Parsed<Vec<Stage>> {
    let mut stages = vec![stage(input, selected)?];
    while opt(symbol("|")).parse_next(input)?.is_some() {
        stages.push(stage(input, selected)?);
    }
    Ok(stages)
}

fn stage(input: &mut Input<'_>, selected: &mut Vec<Field>) -> Parsed<Stage> {
    count_part(input)?;
    let start = *input;
    match opt(peek(any)).parse_next(input)? {
        Some('{' | '(') => return span_sets(input, selected).map(Stage::Spans),
        Some(first) if first.is_ascii_alphabetic() => {}
        _ => return Err(expected(input, "`{`, `(`, select or an aggregate such as count()")),
    }
    match word(input)? {
        "select" => {
            symbol_here("(", input)?;
            let list = |input: &mut Input<'_>| separated(1.., expression::field_here, symbol(",")).parse_next(input);
            let fields: Vec<Field> = cut_err(list).parse_next(input)?;
            symbol_here(")", input)?;
            selected.extend(fields);
            Ok(Stage::Select)
        }
        "count" => aggregate(input, &start, Function::Count),
        "avg" => aggregate(input, &start, Function::Average),
        "min" => aggregate(input, &start, Function::Least),
        "max" => aggregate(input, &start, Function::Most),
        "sum" => aggregate(input, &start, Function::Sum),
        name @ ("by" | "coalesce") => {
            Err(refused(input, format!("{name}() is not supported by this viewer: spans cannot be grouped")))
        }
        name @ ("rate"
        | "count_over_time"
        | "min_over_time"
        | "max_over_time"
        | "avg_over_time"
        | "sum_over_time"
        | "quantile_over_time"
        | "histogram_over_time"
        | "compare"
        | "topk"
        | "bottomk") => {
            Err(refused(input, format!("{name}() is not supported by this viewer: it has no metrics queries")))
        }
        _ => {
            *input = start;
            Err(expected(input, "`{`, `(`, select or an aggregate such as count()"))
        }
    }
}

fn span_sets(input: &mut Input<'_>, selected: &mut Vec<Field>) -> Parsed<SpanSets> {
    // The combinator calls this for each operand, so it borrows what the operands add to.
    operators(|input: &mut Input<'_>| span_set(input, selected))
        .infix(|input: &mut Input<'_>| {
            Ok(match alt((symbol("&&"), symbol("||"), structural)).parse_next(input)? {
                "&&" => Infix::Left(10, |_, a, b| Ok(SpanSets::And(Box::new(a), Box::new(b)))),
                "||" => Infix::Left(10, |_, a, b| Ok(SpanSets::Or(Box::new(a), Box::new(b)))),
                other => {
                    let reason = format!("`{other}` is not supported by this viewer: sets are joined by && and ||");
                    return Err(refused(input, reason));
                }
            })
        })
        .parse_next(input)
}

/// `&>` and the like have to be tried before their beginnings.
fn structural<'a>(input: &mut Input<'a>) -> Parsed<&'a str> {
    let union = alt(("&>>", "&<<", "&>", "&<", "&~"));
    let negated = alt(("!>>", "!<<", "!>", "!<", "!~"));
    alt((union, negated, ">>", "<<", ">", "<", "~")).parse_next(input)
}

fn span_set(input: &mut Input<'_>, selected: &mut Vec<Field>) -> Parsed<SpanSets> {
    count_part(input)?;
    if opt(symbol("(")).parse_next(input)?.is_some() {
        return expression::nested(input, |input| {
            let mut stages = pipeline(input, selected)?;
            symbol_here(")", input)?;
            Ok(match (stages.pop(), stages.is_empty()) {
                (Some(Stage::Spans(one)), true) => one,
                (last, _) => {
                    stages.extend(last);
                    SpanSets::Pipeline(stages)
                }
            })
        });
    }
    symbol_here("{", input)?;
    if opt(symbol("}")).parse_next(input)?.is_some() {
        return Ok(SpanSets::Filter(Expression::Value(Value::Flag(true))));
    }
    let condition = expression::expression(input)?;
    condition.expect_flag("a filter needs a condition").map_err(|reason| refused(input, reason))?;
    if opt(symbol("}")).parse_next(input)?.is_none() {
        return Err(expected(input, "an operator or `}`"));
    }
    Ok(SpanSets::Filter(condition))
}

fn aggregate(input: &mut Input<'_>, start: &Input<'_>, function: Function) -> Parsed<Stage> {
    symbol_here("(", input)?;
    let of = if function == Function::Count {
        None
    } else {
        let of = expression::expression(input)?;
        let numeric = of.type_of() == super::check::Type::Attribute || of.type_of().is_numeric();
        if !numeric || !of.reads_span() {
            return Err(refused(input, "an aggregate needs a numeric field, such as duration or span.attribute"));
        }
        Some(of)
    };
    symbol_here(")", input)?;
    let text = start.input[..start.input.len() - input.input.len()].trim().to_owned();
    let comparison = opt(expression::comparison).parse_next(input)?;
    let comparison = comparison.ok_or_else(|| expected(input, "one of = != > >= < <="))?;
    let limit = expression::expression(input)?.constant().filter(|limit| limit.number().is_some());
    let limit = limit.ok_or_else(|| refused(input, "an aggregate can only be compared with a number or a duration"))?;
    Ok(Stage::Aggregate(Aggregate { text, function, of, comparison, limit }))
}

/// `with (most_recent=true)`. The newest traces are always first here, and nothing is sampled: hints change nothing.
fn hints(input: &mut Input<'_>) -> Parsed<()> {
    word(input)?;
    let hint = |input: &mut Input<'_>| -> Parsed<()> {
        count_part(input)?;
        word(input)?;
        symbol_here("=", input)?;
        match expression::operand(input)? {
            Expression::Value(_) => Ok(()),
            _ => Err(expected(input, "a value")),
        }
    };
    let all = |input: &mut Input<'_>| -> Parsed<()> { separated(1.., hint, symbol(",")).parse_next(input) };
    symbol_here("(", input)?;
    cut_err(all).parse_next(input)?;
    symbol_here(")", input)
}

fn peek_word<'a>(wanted: &'static str) -> impl Parser<Input<'a>, &'a str, Error> {
    peek(word.verify(move |found: &str| found == wanted))
}

/// `token`, or an error that names it.
fn symbol_here(token: &'static str, input: &mut Input<'_>) -> Parsed<()> {
    let expected = StrContext::Expected(StrContextValue::StringLiteral(token));
    cut_err(symbol(token).void().context(expected)).parse_next(input)
}

impl Stage {
    fn add_fields(&self, fields: &mut Vec<Field>) {
        match self {
            Self::Spans(sets) => sets.add_fields(fields),
            Self::Aggregate(aggregate) => aggregate.of.iter().for_each(|of| of.add_fields(fields)),
            Self::Select => {}
        }
    }
}

impl SpanSets {
    fn add_fields(&self, fields: &mut Vec<Field>) {
        match self {
            Self::Filter(condition) => condition.add_fields(fields),
            Self::Pipeline(stages) => stages.iter().for_each(|stage| stage.add_fields(fields)),
            Self::And(left, right) | Self::Or(left, right) => {
                left.add_fields(fields);
                right.add_fields(fields);
            }
        }
    }
}
