//! Runs a query over the spans of one trace.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use regex::Regex;

use super::{Aggregate, Comparison, Expression, Field, Function, Query, Scope, SpanSets, Stage, Value};
use crate::ids::SpanId;
use crate::span::StoredSpan;
use crate::trace::Trace;

/// A clock costs as much as a simple condition, so it is read once for this many spans.
const SPANS_BETWEEN_CHECKS: u32 = 32;

/// So many bytes of a text count as a span.
const BYTES_AS_A_SPAN: usize = 64;

/// Bytes of a text that a regular expression sees; Tempo keeps 2,048 of each attribute. In the worst case each byte takes
/// time in proportion to the size of the pattern.
const MOST_MATCHED: usize = 16 << 10;

/// A query took too long.
#[derive(Debug)]
pub(crate) struct TimedOut;

/// When a query must have ended.
pub(crate) struct Deadline {
    at: Instant,
    cancelled: Arc<AtomicBool>,
    spans: Cell<u32>,
}

/// Ends a query when its client has left.
pub(crate) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Deadline {
    pub(crate) fn at(at: Instant) -> Self {
        Self { at, cancelled: Arc::default(), spans: Cell::new(0) }
    }

    pub(crate) fn cancel_on_drop(&self) -> CancelOnDrop {
        CancelOnDrop(self.cancelled.clone())
    }

    /// Called once for each span, or each item of a list.
    pub(crate) fn check(&self) -> Result<(), TimedOut> {
        self.check_bytes(0)
    }

    /// The same before something is done with each byte of a text.
    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<(), TimedOut> {
        let spans = self.spans.get().saturating_add(1 + (bytes / BYTES_AS_A_SPAN) as u32);
        self.spans.set(if spans < SPANS_BETWEEN_CHECKS { spans } else { 0 });
        if spans < SPANS_BETWEEN_CHECKS { Ok(()) } else { self.check_now() }
    }

    pub(crate) fn check_now(&self) -> Result<(), TimedOut> {
        let goes_on = Instant::now() < self.at && !self.cancelled.load(Ordering::Relaxed);
        if goes_on { Ok(()) } else { Err(TimedOut) }
    }
}

/// What all spans of a trace share, found once for each trace.
pub(crate) struct TraceContext<'a> {
    pub(crate) trace: &'a Trace,
    deadline: &'a Deadline,
    pub(super) trace_id: String,
    pub(crate) duration: u64,
    pub(crate) has_root: bool,
    /// Empty while the root span is missing.
    pub(crate) root_name: &'a str,
    pub(crate) root_service: &'a str,
    /// Only for queries that mention one of its fields.
    places: OnceCell<HashMap<SpanId, Place>>,
}

/// Where a span is in the tree: the nested set model, as Tempo numbers it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// All three are 0 for a span that no root leads to.
    pub(super) left: i64,
    pub(super) right: i64,
    /// The parent's left number; -1 for a root span.
    pub(super) parent: i64,
    pub(super) children: i64,
}

/// Spans of a trace that a query found.
pub(crate) struct SpanSet<'a> {
    pub(crate) spans: Vec<&'a StoredSpan>,
    /// The results of aggregates.
    pub(crate) attributes: Vec<(String, Value<'static>)>,
}

impl<'a> TraceContext<'a> {
    pub(crate) fn new(trace: &'a Trace, deadline: &'a Deadline) -> Self {
        let root = trace.root();
        Self {
            trace,
            deadline,
            trace_id: trace.id.to_string(),
            duration: trace.duration(),
            has_root: root.is_some(),
            root_name: root.map_or("", |root| root.name()),
            root_service: root.map_or("", |root| root.service()),
            places: OnceCell::new(),
        }
    }

    pub(crate) fn spans(&self) -> impl Iterator<Item = &'a StoredSpan> + use<'a> {
        self.trace.spans.values().map(AsRef::as_ref)
    }

    pub(super) fn place(&self, id: SpanId) -> Place {
        self.places.get_or_init(|| places(self.trace)).get(&id).copied().unwrap_or_default()
    }
}

fn places(trace: &Trace) -> HashMap<SpanId, Place> {
    let mut children: HashMap<SpanId, Vec<SpanId>> = HashMap::new();
    let mut places: HashMap<SpanId, Place> = HashMap::with_capacity(trace.spans.len());
    let mut roots = Vec::new();
    for span in trace.spans.values() {
        places.insert(span.id, Place::default());
        match span.parent() {
            Some(parent) => children.entry(parent).or_default().push(span.id),
            None => roots.push(span.id),
        }
    }
    for (parent, children) in &children {
        if let Some(place) = places.get_mut(parent) {
            place.children = children.len() as i64;
        }
    }
    let mut number = 0;
    // Each span is on the stack twice: with its parent's number when it begins, without when it ends.
    let mut stack: Vec<(SpanId, Option<i64>)> = roots.into_iter().rev().map(|id| (id, Some(-1))).collect();
    while let Some((id, begins)) = stack.pop() {
        number += 1;
        let Some(place) = places.get_mut(&id) else { continue };
        let Some(parent) = begins else {
            place.right = number;
            continue;
        };
        (place.left, place.parent) = (number, parent);
        let left = number;
        stack.push((id, None));
        stack.extend(children.get(&id).into_iter().flatten().rev().map(|child| (*child, Some(left))));
    }
    places
}

impl Query {
    /// The service that one of the spans must be of, if the query begins with such a condition.
    pub(crate) fn service(&self) -> Option<&str> {
        match self.pipeline.first()? {
            Stage::Spans(SpanSets::Filter(condition)) => condition.service(),
            _ => None,
        }
    }

    /// The spans of the trace that the query finds, if there are any.
    pub(crate) fn run<'a>(&'a self, context: &TraceContext<'a>) -> Result<Option<SpanSet<'a>>, TimedOut> {
        let (spans, deadline): (Vec<_>, _) = (context.spans().collect(), context.deadline);
        let mut attributes = Vec::new();
        let spans = run(&self.pipeline, Cow::Owned(spans), &mut attributes, context, deadline)?.into_owned();
        Ok((!spans.is_empty()).then_some(SpanSet { spans, attributes }))
    }
}

fn is_match(pattern: &Regex, text: &str, deadline: &Deadline) -> bool {
    let text = &text[..text.floor_char_boundary(MOST_MATCHED)];
    deadline.check_bytes(text.len()).is_ok() && pattern.is_match(text)
}

/// Spans of a trace, by id. Both sides of `&&` and `||` borrow them: a chain of 250 would hold as many copies.
type Spans<'s, 'a> = Cow<'s, [&'a StoredSpan]>;

fn run<'s, 'a>(
    pipeline: &[Stage],
    mut spans: Spans<'s, 'a>,
    attributes: &mut Vec<(String, Value<'static>)>,
    context: &TraceContext<'a>,
    deadline: &Deadline,
) -> Result<Spans<'s, 'a>, TimedOut> {
    for stage in pipeline {
        if spans.is_empty() {
            break;
        }
        match stage {
            Stage::Select => {}
            Stage::Spans(sets) => spans = sets.filter(spans, attributes, context, deadline)?,
            Stage::Aggregate(aggregate) => match aggregate.result(&spans, context, deadline)? {
                Some(result) if result.compare(aggregate.comparison, &aggregate.limit, deadline) => {
                    attributes.push((aggregate.text.clone(), result));
                }
                _ => spans = Spans::default(),
            },
        }
    }
    Ok(spans)
}

impl SpanSets {
    fn filter<'s, 'a>(
        &self,
        spans: Spans<'s, 'a>,
        attributes: &mut Vec<(String, Value<'static>)>,
        context: &TraceContext<'a>,
        deadline: &Deadline,
    ) -> Result<Spans<'s, 'a>, TimedOut> {
        match self {
            Self::Filter(Expression::Value(Value::Flag(true))) => Ok(spans),
            Self::Filter(condition) => {
                let mut kept = Vec::new();
                for &span in spans.iter() {
                    deadline.check()?;
                    if condition.holds(context, span) {
                        kept.push(span);
                    }
                }
                // Conditions end early behind the deadline.
                deadline.check_now()?;
                Ok(kept.into())
            }
            Self::Pipeline(pipeline) => run(pipeline, spans, attributes, context, deadline),
            Self::And(left, right) | Self::Or(left, right) => {
                let of_left = left.filter(Cow::Borrowed(&spans), attributes, context, deadline)?;
                let of_right = right.filter(Cow::Borrowed(&spans), attributes, context, deadline)?;
                if matches!(self, Self::And(..)) && (of_left.is_empty() || of_right.is_empty()) {
                    return Ok(Spans::default());
                }
                if of_left.len() == spans.len() || of_right.len() == spans.len() {
                    drop((of_left, of_right));
                    return Ok(spans);
                }
                let mut of_both = [of_left, of_right].concat();
                of_both.sort_by_key(|span| span.id);
                of_both.dedup_by_key(|span| span.id);
                Ok(of_both.into())
            }
        }
    }
}

impl Aggregate {
    /// None where no span has the field.
    fn result(
        &self,
        spans: &[&StoredSpan],
        context: &TraceContext<'_>,
        deadline: &Deadline,
    ) -> Result<Option<Value<'static>>, TimedOut> {
        let Some(of) = &self.of else { return Ok(Some(Value::Integer(spans.len() as i64))) };
        let mut result: Option<Value<'static>> = None;
        let mut count = 0;
        for span in spans {
            deadline.check()?;
            let value = of.evaluate(context, span);
            if value.number().is_none() {
                continue;
            }
            count += 1;
            let smaller = |a: &Value<'_>, b: &Value<'_>| a.number() < b.number();
            result = Some(match (result, self.function) {
                (None, _) => value.owned(),
                (Some(before), Function::Least) if smaller(&value, &before) => value.owned(),
                (Some(before), Function::Most) if smaller(&before, &value) => value.owned(),
                (Some(before), Function::Sum | Function::Average) => before.plus(&value),
                (Some(before), _) => before,
            });
        }
        Ok(match self.function {
            Function::Average => result.map(|sum| sum.divided_by(count)),
            _ => result,
        })
    }
}

impl Expression {
    fn service(&self) -> Option<&str> {
        match self {
            Self::And(left, right) => left.service().or_else(|| right.service()),
            Self::Compare(Comparison::Equal, field, value) => match (&**field, &**value) {
                (Self::Field(Field::Attribute(Scope::Resource, key)), Self::Value(Value::Text(service)))
                    if key == "service.name" =>
                {
                    Some(service)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a span meets the condition. A condition on a field that the span lacks does not hold.
    fn holds<'a>(&'a self, context: &TraceContext<'a>, span: &'a StoredSpan) -> bool {
        match self {
            Self::And(left, right) => left.holds(context, span) && right.holds(context, span),
            Self::Or(left, right) => left.holds(context, span) || right.holds(context, span),
            Self::Compare(comparison, left, right) => {
                left.evaluate(context, span).compare(*comparison, &right.evaluate(context, span), context.deadline)
            }
            Self::Match(of, pattern, wanted) => {
                of.evaluate(context, span).matches(&|text| is_match(pattern, text, context.deadline), *wanted)
            }
            Self::Exists(of) => of.evaluate(context, span) != Value::Nil,
            Self::Missing(of) => of.evaluate(context, span) == Value::Nil,
            Self::Not(of) => of.evaluate(context, span) == Value::Flag(false),
            Self::Value(_) | Self::Field(_) | Self::Calculate(..) | Self::Negative(_) => {
                self.evaluate(context, span) == Value::Flag(true)
            }
        }
    }

    fn evaluate<'a>(&'a self, context: &TraceContext<'a>, span: &'a StoredSpan) -> Value<'a> {
        match self {
            Self::Value(value) => value.borrowed(),
            Self::Field(field) => field.value(context, span),
            Self::Calculate(operation, left, right) => {
                left.evaluate(context, span).calculate(*operation, &right.evaluate(context, span))
            }
            Self::Negative(of) => of.evaluate(context, span).negative(),
            _ => Value::Flag(self.holds(context, span)),
        }
    }

    /// The value of an expression that does not depend on a span.
    pub(super) fn constant(&self) -> Option<Value<'static>> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::Calculate(operation, left, right) => Some(left.constant()?.calculate(*operation, &right.constant()?)),
            Self::Negative(of) => Some(of.constant()?.negative()),
            _ => None,
        }
    }
}
