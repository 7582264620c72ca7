//! Checks what the documents say about the repository's files: each one that they name exists, and what README gives to
//! read for copying the instrumentation is as short as it says.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::fs;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 9] = [".rs", ".md", ".js", ".css", ".html", ".json", ".toml", ".yml", ".yaml"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn documents() -> Vec<PathBuf> {
    let root = root();
    let named = ["README.md", "QUICK-START.md", "SIGNALS.md", "grafana-dashboards/DASHBOARD-SPEC.md"];
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    named.into_iter().map(|name| root.join(name)).chain(docs).collect()
}

/// All files under `folder`, without hidden ones and what builds leave behind.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let entries = entries.filter(|entry| {
        let name = entry.file_name();
        name != "target" && !name.to_string_lossy().starts_with('.')
    });
    entries.flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] }).collect()
}

/// The names of files in a line, in backticks, links and drawings alike. What begins with a slash is the path of a URL.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)))
        .map(|name| name.trim_end_matches('.').trim_start_matches("../"))
        .filter(|name| !name.starts_with('/') && EXTENSIONS.iter().any(|extension| name.ends_with(extension)))
}

/// The folder of the crate that a table's row is about: names in that row are its files.
fn crate_of_row(line: &str) -> Option<PathBuf> {
    let name = line.strip_prefix("| `")?.split('`').next()?;
    Some(root().join("crates").join(name)).filter(|folder| folder.is_dir())
}

#[test]
fn every_named_file_exists() {
    let all = files(&root());
    let (mut missing, mut found) = (Vec::new(), 0);
    for document in documents() {
        for line in fs::read_to_string(&document).unwrap().lines() {
            let folder = crate_of_row(line).unwrap_or_default();
            for name in names(line) {
                match all.iter().any(|file| file.starts_with(&folder) && file.ends_with(name)) {
                    true => found += 1,
                    false => missing.push(format!("{}: {name} in: {line}", document.display())),
                }
            }
        }
    }
    assert!(found > 100, "only {found} names were found, so the test does not look at the right text");
    assert!(missing.is_empty(), "files that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn every_link_leads_to_a_file() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.contains("://") && !target.is_empty() {
                assert!(document.parent().unwrap().join(target).exists(), "{}: {link}", document.display());
            }
        }
    }
}

#[test]
fn files_to_read_for_copying_are_about_900_lines() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("\n## Copy the instrumentation\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ["));
    let files = rows.map(|row| row.split("](").nth(1).unwrap().split(')').next().unwrap());
    let without_tests = |file: &str| {
        let text = fs::read_to_string(root().join(file)).unwrap();
        text.split("#[cfg(test)]").next().unwrap().lines().count()
    };
    let lines: Vec<_> = files.map(without_tests).collect();
    let sum: usize = lines.iter().sum();
    assert!(lines.len() >= 5 && (500..950).contains(&sum), "{lines:?} are {sum} lines; README says about 900");
}

#[test]
fn reliability_names_tests_that_exist() {
    let sources = files(&root().join("crates/dice/tests/resilience"));
    let tests = sources.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<String>();
    let tests: Vec<_> = tests.lines().filter_map(|line| line.strip_prefix("fn ")?.split('(').next()).collect();
    let text = fs::read_to_string(root().join("docs/RELIABILITY.md")).unwrap();
    // Each row names its test as (`part_of_the_name`).
    let parts = text.split("(`").skip(1).filter_map(|rest| rest.split("`)").next());
    let is_name = |part: &&str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let parts: Vec<_> = parts.filter(is_name).collect();
    assert!(parts.len() > 15, "{parts:?}");
    for part in parts {
        assert!(tests.iter().any(|test| test.contains(part)), "no test has '{part}' in its name: {tests:?}");
    }
}
