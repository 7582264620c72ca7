//! The sentence above the waterfall.

use crate::analysis::{Analysis, Likeness, Siblings};
use crate::tree::Tree;

/// What ran at the same time, the speedup, and which span decided the duration.
pub(crate) fn verdict(tree: &Tree<'_>, analysis: &Analysis<'_>) -> String {
    match &analysis.siblings {
        Some(siblings) => about_siblings(tree, analysis, siblings),
        None => about_one_by_one(tree, analysis),
    }
}

fn about_siblings(tree: &Tree<'_>, analysis: &Analysis<'_>, siblings: &Siblings<'_>) -> String {
    let (what, wall, sum) = (calls(siblings), rounded(siblings.wall), rounded(siblings.sum));
    if siblings.cancelled > 0 {
        // Without the durations that the cancelled ones would have had there is no speedup.
        let n = siblings.cancelled;
        return format!(
            "{what} had begun when it ended, after {wall}: {n} of them cancelled, as nobody waited any more."
        );
    }
    let mut sentence = if siblings.peak == 1 {
        let speedup = siblings.speedup();
        format!("{what} took {wall}, one after the other: no two overlapped, so nothing was gained ({speedup:.1}×).")
    } else {
        let at_once = match siblings.peak {
            peak if peak < siblings.count => format!(", at most {peak} at once,"),
            _ => String::new(),
        };
        let gain = match siblings.speedup() {
            // Less than 1 if there were pauses between them.
            speedup if speedup < 1.05 => format!("no gain ({speedup:.1}×)"),
            speedup => format!("{speedup:.1} times faster"),
        };
        format!("{what}{at_once} took {wall}; one after the other they would have taken {sum}: {gain}.")
    };
    if siblings.peak > 1 && analysis.path.iter().any(|segment| segment.node == siblings.last) {
        let last = tree.nodes[siblings.last].name;
        sentence += &match siblings.likeness {
            Likeness::Named(_) => " The last to finish decided the end.".to_owned(),
            Likeness::Numbered(_) | Likeness::Mixed => format!(" {last} decided the end."),
        };
    }
    if siblings.failed > 0 {
        sentence += &format!(" {} of them failed.", siblings.failed);
    }
    sentence
}

fn about_one_by_one(tree: &Tree<'_>, analysis: &Analysis<'_>) -> String {
    let mut own_time = vec![0; tree.nodes.len()];
    for segment in &analysis.path {
        own_time[segment.node] += segment.to - segment.from;
    }
    let slowest = tree.top.and_then(|top| Some((top, (0..own_time.len()).max_by_key(|&i| own_time[i])?)));
    match slowest {
        Some((top, slowest)) if tree.nodes.len() > 1 => {
            let span = &tree.nodes[slowest];
            let (most, all) = (rounded(own_time[slowest]), rounded(tree.nodes[top].duration()));
            format!(
                "One call at a time: nothing ran side by side, so there was nothing to gain (1.0×). {most} of {all} was spent in {} ({}).",
                span.name, span.service
            )
        }
        _ => "One call at a time: nothing ran side by side (1.0×).".to_owned(),
    }
}

/// Number and name: "10 rolls", "3 × GET /dice", "4 calls".
pub(crate) fn calls(siblings: &Siblings<'_>) -> String {
    let count = siblings.count;
    match siblings.likeness {
        Likeness::Mixed => format!("{count} calls"),
        Likeness::Named(name) => format!("{count} × {name}"),
        Likeness::Numbered(stem) => {
            let word = stem.rsplit([' ', '_', '-', '.', '/', ':']).next().unwrap_or(stem);
            let is_word = !word.is_empty() && word.chars().all(|c| c.is_lowercase());
            if is_word { format!("{count} {}", plural(word)) } else { format!("{count} × {stem}") }
        }
    }
}

fn plural(word: &str) -> String {
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if word.ends_with(['s', 'x', 'z']) || word.ends_with("ch") || word.ends_with("sh") => format!("{word}es"),
        _ => format!("{word}s"),
    }
}

/// Nanoseconds as text, with two significant digits, in seconds from 0.1 s up.
fn rounded(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (nanos as f64 / 1e3, "µs"),
        1_000_000..100_000_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    match value {
        ..1.0 => format!("{value:.2} {unit}"),
        1.0..10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::{failed, named, node};

    const MS: u64 = 1_000_000;

    fn say(nodes: Vec<crate::tree::Node<'_>>) -> String {
        let tree = Tree::new(nodes);
        verdict(&tree, &Analysis::of(&tree))
    }

    #[test]
    fn concurrent_batch_says_its_speedup_and_its_last_roll() {
        let names: Vec<String> = (0..10).map(|i| format!("async_roll_{i}")).collect();
        let mut nodes = vec![node(1, 0, 0, 961 * MS)];
        for ((number, name), length) in (2..).zip(&names).zip([540, 300, 700, 500, 420, 610, 80, 960, 770, 520]) {
            nodes.push(named(name, node(number, 1, 0, length * MS)));
        }
        let expected = "10 rolls took 0.96 s; one after the other they would have taken 5.4 s: 5.6 times faster. \
                        async_roll_7 decided the end.";
        assert_eq!(say(nodes.clone()), expected);
        nodes[3] = failed(nodes[3].clone());
        assert_eq!(say(nodes), format!("{expected} 1 of them failed."));
    }

    #[test]
    fn cancelled_batch_says_how_many_were_cancelled() {
        let mut nodes = vec![node(1, 0, 0, 390 * MS)];
        nodes.extend([200, 390, 385].into_iter().zip(2..).map(|(end, n)| named("roll", node(n, 1, 0, end * MS))));
        (nodes[2].cancelled, nodes[3].cancelled) = (true, true);
        assert_eq!(
            say(nodes),
            "3 × roll had begun when it ended, after 0.39 s: 2 of them cancelled, as nobody waited any more."
        );
    }

    #[test]
    fn waves_say_their_width_and_sequential_rolls_that_nothing_was_gained() {
        let at = |times: [(u64, u64); 4]| {
            let names = ["roll_0", "roll_1", "roll_2", "roll_3"];
            let mut nodes = vec![node(1, 0, 0, 2000 * MS)];
            nodes.extend(
                (2..).zip(names).zip(times).map(|((n, name), (from, to))| named(name, node(n, 1, from * MS, to * MS))),
            );
            say(nodes)
        };
        assert_eq!(
            at([(0, 400), (0, 500), (500, 900), (500, 1000)]),
            "4 rolls, at most 2 at once, took 1.0 s; one after the other they would have taken 1.8 s: 1.8 times faster. \
             roll_3 decided the end."
        );
        assert_eq!(
            at([(0, 100), (100, 200), (200, 300), (300, 1400)]),
            "4 rolls took 1.4 s, one after the other: no two overlapped, so nothing was gained (1.0×)."
        );
        assert_eq!(
            at([(0, 10), (1000, 1010), (1005, 1015), (1100, 1110)]),
            "4 rolls, at most 2 at once, took 1.1 s; one after the other they would have taken 40 ms: \
             no gain (0.0×). roll_3 decided the end."
        );
    }

    #[test]
    fn chain_of_calls_says_where_the_time_was_spent() {
        let chain = vec![
            named("GET /roll", node(1, 0, 0, 520 * MS)),
            named("GET", node(2, 1, 10 * MS, 510 * MS)),
            named("GET /roll", node(3, 2, 20 * MS, 500 * MS)),
        ];
        let mut chain = chain;
        chain[2].service = "dice-roller";
        assert_eq!(
            say(chain),
            "One call at a time: nothing ran side by side, so there was nothing to gain (1.0×). \
             0.48 s of 0.52 s was spent in GET /roll (dice-roller)."
        );
        assert_eq!(say(vec![node(1, 0, 0, 5)]), "One call at a time: nothing ran side by side (1.0×).");
        assert_eq!(say(vec![node(2, 1, 0, 5)]), "One call at a time: nothing ran side by side (1.0×).");
    }

    #[test]
    fn calls_are_named_by_the_plural_of_their_last_word() {
        let three = |name: &'static str| {
            let set = |n| named(name, node(n, 1, 0, 5));
            let tree = Tree::new(vec![set(2), set(3), set(4)]);
            calls(&Analysis::of(&tree).siblings.expect("siblings"))
        };
        assert_eq!(three("async_roll_1"), "3 rolls");
        assert_eq!(three("run query 1"), "3 queries");
        assert_eq!(three("batch-1"), "3 batches");
        assert_eq!(three("GET 1"), "3 × GET");
        assert_eq!(three("GET /dice"), "3 × GET /dice");
    }

    #[test]
    fn durations_have_two_significant_digits() {
        let said: Vec<String> = [0, 999, 1_500, 20_000, 7 * MS, 99 * MS, 100 * MS, 963 * MS, 5_400 * MS, 61_000 * MS]
            .into_iter()
            .map(rounded)
            .collect();
        assert_eq!(said, ["0 ns", "999 ns", "1.5 µs", "20 µs", "7.0 ms", "99 ms", "0.10 s", "0.96 s", "5.4 s", "61 s"]);
    }
}
