//! Checks what the documents say about the repository's files: each one that they name exists, and what README gives to
//! read for copying the instrumentation is as short as it says. The diffs of CONTRIBUTING can be applied, and the recipes
//! of the justfile are the commands of README and QUICK-START.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const EXTENSIONS: [&str; 9] = [".rs", ".md", ".js", ".css", ".html", ".json", ".toml", ".yml", ".yaml"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn documents() -> Vec<PathBuf> {
    let root = root();
    let named = [
        "README.md",
        "QUICK-START.md",
        "SIGNALS.md",
        "grafana-dashboards/DASHBOARD-SPEC.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ];
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    named.into_iter().map(|name| root.join(name)).chain(docs).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The diffs in a document, and the document without them.
fn diffs(text: &str) -> (Vec<&str>, String) {
    let mut parts = text.split("```diff\n");
    let mut rest = parts.next().unwrap().to_owned();
    let diffs = parts.map(|part| {
        let (diff, after) = part.split_once("\n```\n").unwrap();
        rest += after;
        &part[..=diff.len()]
    });
    let diffs = diffs.collect();
    (diffs, rest)
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
        for line in diffs(&fs::read_to_string(&document).unwrap()).1.lines() {
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

/// A picture of the project's own pages is taken again by the script; one of Grafana says of which version it is.
#[test]
fn every_picture_is_shown_and_can_be_taken_again() {
    let texts: Vec<_> = documents().iter().map(|document| fs::read_to_string(document).unwrap()).collect();
    let script = fs::read_to_string(root().join("docs/images/take")).unwrap();
    let pictures = files(&root().join("docs/images")).into_iter().filter(|file| file.extension().is_some());
    let names: Vec<_> = pictures.map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(names.len() > 3, "{names:?}");
    for name in names {
        let shown = texts.iter().flat_map(|text| text.lines()).find(|line| line.contains(&format!("images/{name})")));
        let shown = shown.unwrap_or_else(|| panic!("no document shows {name}"));
        match name.starts_with("grafana-") {
            true => assert!(shown.contains("Grafana 1"), "{name} without its version: {shown}"),
            false => assert!(script.contains(&format!("picture {name} ")), "the script does not take {name}"),
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
    let folders = ["crates/dice/tests/resilience", "crates/dice/tests/system", "crates/trace-viewer/tests/viewer"];
    let sources = folders.into_iter().flat_map(|folder| files(&root().join(folder)));
    let tests = sources.map(|file| fs::read_to_string(file).unwrap()).collect::<String>();
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

/// `.ci/contributing` also compiles the result and runs its tests.
#[test]
fn diffs_of_contributing_can_be_applied_one_after_the_other() {
    let git = test_support::skip::runs(Command::new("git").arg("--version"), "Debian: apt-get install git");
    if test_support::skip::unless(git, "CI").is_none() {
        return;
    }
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contributing");
    let _ = fs::remove_dir_all(&copy); // of the run before
    fs::create_dir_all(&copy).unwrap();
    let text = read("CONTRIBUTING.md");
    let (diffs, _) = diffs(&text);
    assert_eq!(diffs.len(), 3, "a parameter, a metric, a service");
    for diff in diffs {
        for file in diff.lines().filter_map(|line| line.strip_prefix("--- a/")) {
            if !copy.join(file).exists() {
                fs::create_dir_all(copy.join(file).parent().unwrap()).unwrap();
                fs::copy(root().join(file), copy.join(file)).unwrap();
            }
        }
        // Not as a part of the repository that the copy may be in: git would skip all files of the diff.
        let mut apply = Command::new("git");
        apply.args(["apply", "-"]).current_dir(&copy).env("GIT_CEILING_DIRECTORIES", copy.parent().unwrap());
        let mut apply = apply.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        apply.stdin.take().unwrap().write_all(diff.as_bytes()).unwrap();
        let output = apply.wait_with_output().unwrap();
        assert!(output.status.success(), "{diff}\n{}", String::from_utf8_lossy(&output.stderr));
        let added = diff.lines().find_map(|line| line.strip_prefix("+++ b/")).unwrap();
        let line = diff.lines().find(|line| line.starts_with('+') && !line.starts_with("+++")).unwrap();
        assert!(fs::read_to_string(copy.join(added)).unwrap().contains(&line[1..]), "not applied: {line}");
    }
}

#[test]
fn recipes_of_the_justfile_are_commands_of_the_documents() {
    let documents = read("README.md") + read("QUICK-START.md").as_str();
    let justfile = read("justfile");
    let recipes = justfile.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with('@'));
    let recipes: Vec<_> = recipes.map(|line| line.split("{{").next().unwrap().trim()).collect();
    for recipe in &recipes {
        assert!(documents.contains(recipe), "README.md and QUICK-START.md do not name the justfile's '{recipe}'");
    }
    let commands = documents.lines().filter(|line| line.starts_with("cargo ") || line.starts_with("docker "));
    let (mut commands, mut without) = (commands.peekable(), Vec::new());
    assert!(commands.peek().is_some());
    for command in commands {
        let command = command.split('#').next().unwrap().trim();
        if !recipes.iter().any(|recipe| command.starts_with(recipe)) {
            without.push(command);
        }
    }
    assert!(without.is_empty(), "the justfile has no recipe for {without:?}");
}
