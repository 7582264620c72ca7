//! Two traces of any shape: a report of each, and their comparison. The critical path covers the root without gaps, a
//! trace has no difference to itself, and swapping the two swaps what is said.
#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use trace_analysis::{Comparison, Kind, READ_ATTRIBUTES, Report, Span, SpanId, Tree};

/// Few, so that spans of both traces match.
const NAMES: [&str; 6] = ["GET", "GET /dice", "async_roll_1", "async_roll_2", "", "a. b\n"];

const VALUES: [&str; 7] = ["", "0", "404", "timeout", "cancelled", "connection_error", "open"];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let (Ok(a), Ok(b)) = (tree(&mut input), tree(&mut input)) else { return };
    for tree in [&a, &b] {
        let report = Report::of(tree);
        let shares: u64 = report.critical_path.iter().map(|share| share.nanoseconds).sum();
        assert_eq!(shares, tree.duration());
        assert!(!report.sentence.is_empty() && report.groups.iter().all(|group| group.peak_concurrency >= 1));
        Report::of_arriving(tree);
        let itself = Comparison::of(tree, tree, 1.5);
        assert!(itself.same_structure && itself.slower.is_empty() && itself.faster.is_empty());
        assert!(itself.only_in_a.is_empty() && itself.only_in_b.is_empty());
        assert_eq!(itself.rows.len(), tree.spans.len());
    }
    let (there, back) = (Comparison::of(&a, &b, 1.5), Comparison::of(&b, &a, 1.5));
    assert_eq!(there.same_structure, back.same_structure);
    assert_eq!((there.only_in_a, there.only_in_b), (back.only_in_b, back.only_in_a));
    assert_eq!((there.slower.len(), there.faster.len()), (back.faster.len(), back.slower.len()));
});

fn tree(input: &mut Unstructured<'_>) -> Result<Tree> {
    let count = input.int_in_range(0..=12_u64)?;
    (0..count).map(|number| span(input, number)).collect::<Result<_>>().map(Tree::new)
}

fn span(input: &mut Unstructured<'_>, number: u64) -> Result<Span> {
    // Now and then twice the same id, or a parent that is missing or comes later.
    let id = if input.ratio(1, 16)? { input.int_in_range(0..=12)? } else { number + 1 };
    let parent = if input.ratio(1, 4)? { input.int_in_range(0..=14)? } else { number };
    let start = if input.ratio(1, 16)? { input.arbitrary()? } else { input.int_in_range(0..=2_000_000)? };
    let length = if input.ratio(1, 16)? { input.arbitrary()? } else { input.int_in_range(0..=2_000_000)? };
    let attributes = input.int_in_range(0..=3)?;
    let attributes =
        (0..attributes).map(|_| Ok(((*input.choose(&READ_ATTRIBUTES)?).into(), text(input, &VALUES)?.into())));
    let attributes = attributes.collect::<Result<_>>()?;
    Ok(Span {
        parent: SpanId::new(parent),
        name: text(input, &NAMES)?.into(),
        service: text(input, &["frontend", "dice-roller", ""])?.into(),
        kind: Kind::from_number(input.int_in_range(0..=5)?),
        start,
        end: start.saturating_add(length),
        failed: input.ratio(1, 4)?,
        message: text(input, &NAMES)?.into(),
        attributes,
        ..Span::new(SpanId(id))
    })
}

fn text(input: &mut Unstructured<'_>, usual: &[&str]) -> Result<String> {
    Ok(if input.ratio(1, 16)? { input.arbitrary()? } else { (*input.choose(usual)?).to_owned() })
}
