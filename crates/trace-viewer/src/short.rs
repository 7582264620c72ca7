//! Names as pages show them: a sender may give a span a name of megabytes, and a page has thousands of names.

use std::borrow::Cow;

/// Characters of a name.
const LONGEST: usize = 200;

/// The name, or its beginning.
pub(crate) fn short(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &name[..at]).into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_name_is_cut_and_between_characters() {
        assert_eq!(short("GET /dice"), "GET /dice");
        assert_eq!(short(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        assert_eq!(short(&"é".repeat(LONGEST + 1)), format!("{}…", "é".repeat(LONGEST)));
    }
}
