//! SIGNALS.md, read: the tables of its sections.

use std::collections::BTreeSet;

/// The rows of the first table under `## heading`: their cells, without the table's own head.
pub(crate) fn table(heading: &str) -> Vec<Vec<String>> {
    let page = include_str!("../../../../SIGNALS.md");
    let section = page.split("\n## ").find_map(|section| section.strip_prefix(&format!("{heading}\n")));
    let section = section.unwrap_or_else(|| panic!("no section '{heading}'"));
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// What stands in `backticks` in a cell.
pub(crate) fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The services that a cell names.
pub(crate) fn services(cell: &str) -> Vec<&'static str> {
    let services = ["frontend", "dice-roller", "die-service"];
    services.into_iter().filter(|service| cell == "all" || cell.split(", ").any(|named| named == *service)).collect()
}

/// What one side has and the other lacks, in words; empty where both agree.
pub(crate) fn differences<T: Ord + std::fmt::Debug>(page: &BTreeSet<T>, emitted: &BTreeSet<T>) -> Vec<String> {
    let missing = page.difference(emitted).map(|item| format!("on the page, not emitted: {item:?}"));
    let unknown = emitted.difference(page).map(|item| format!("emitted, not on the page: {item:?}"));
    missing.chain(unknown).collect()
}

/// `page` with these rows in the first table under `## heading`.
pub(crate) fn with_table(page: &str, heading: &str, rows: &[String]) -> String {
    let begin = page.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section '{heading}'"));
    let head = begin + page[begin..].find("\n|").unwrap() + 1;
    // Column names and the line below them.
    let first = head + page[head..].match_indices('\n').nth(1).unwrap().0 + 1;
    let length: usize =
        page[first..].split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum();
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    [&page[..first], &rows, &page[first + length..]].concat()
}
