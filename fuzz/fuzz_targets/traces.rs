//! Files with traces from outside: read or refused; what is read has a report, and no difference to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tempo_client::parse_file;
use trace_analysis::{Comparison, Report, Tree};

fuzz_target!(|file: &[u8]| {
    let Ok(traces) = parse_file(file) else { return };
    let trees: Vec<Tree> = traces.iter().map(|trace| trace.analysed()).collect();
    for tree in &trees {
        let report = Report::of(tree);
        let shares: u64 = report.critical_path.iter().map(|share| share.nanoseconds).sum();
        assert_eq!(shares, tree.duration());
        let itself = Comparison::of(tree, tree, 1.5);
        assert!(itself.same_structure && itself.slower.is_empty() && itself.faster.is_empty());
    }
    for pair in trees.windows(2) {
        let (there, back) = (Comparison::of(&pair[0], &pair[1], 1.5), Comparison::of(&pair[1], &pair[0], 1.5));
        assert_eq!((there.only_in_a, there.slower.len()), (back.only_in_b, back.faster.len()));
    }
});
