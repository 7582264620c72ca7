//! Where spans failed: the deepest one of each branch, as those above it failed because of it.

use serde::Serialize;
use smol_str::SmolStr;

use crate::span::SpanId;
use crate::tree::Tree;

/// A span that failed without a child that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Of the span.
    pub service: SmolStr,
    /// Of the span.
    pub name: SmolStr,
    /// Of the span.
    pub span_id: SpanId,
    /// The description of its status; may be empty.
    pub message: SmolStr,
    /// The index of the span.
    #[serde(skip)]
    pub span: usize,
}

/// Of each branch of failed spans the deepest one, by end.
pub fn errors(tree: &Tree) -> Vec<Failure> {
    let failed = |i: usize| tree.spans[i].failed;
    let mut deepest: Vec<usize> =
        (0..tree.spans.len()).filter(|&i| failed(i) && !tree.children[i].iter().any(|&child| failed(child))).collect();
    deepest.sort_by_key(|&i| (tree.spans[i].end, tree.spans[i].id));
    let failure = |i: usize| {
        let span = &tree.spans[i];
        Failure {
            service: span.service.clone(),
            name: span.name.clone(),
            span_id: span.id,
            message: span.message.clone(),
            span: i,
        }
    };
    deepest.into_iter().map(failure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{failed, named, span};

    #[test]
    fn errors_are_the_deepest_of_each_branch_by_end() {
        let fails = |n, parent, end| failed("no", named("f", span(n, parent, 0, end)));
        // 2 and 3 have the same failed parent; 6 is below one that did not fail.
        let spans =
            vec![fails(1, 0, 90), fails(2, 1, 50), fails(3, 1, 40), span(4, 1, 0, 9), fails(6, 4, 8), fails(5, 2, 45)];
        let found = errors(&Tree::new(spans));
        assert_eq!(found.iter().map(|failure| failure.span_id.0).collect::<Vec<_>>(), [6, 3, 5]);
        let expected =
            serde_json::json!({ "service": "s", "name": "f", "span_id": "0000000000000006", "message": "no" });
        assert_eq!(serde_json::to_value(&found[0]).expect("JSON"), expected);
    }
}
