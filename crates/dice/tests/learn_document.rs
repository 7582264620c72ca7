//! The commands of docs/LEARN.md, and what it says they print.
//!
//! `learn N` and `mystery`, which write the learner's files or go on until they are stopped, have tests of their own; here
//! their subcommands only have to exist.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use test_support::http;

use common::{PORTS, launch};

/// A block of the document between fences.
#[derive(Debug)]
struct Block {
    /// What stands behind the first fence.
    language: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn blocks() -> Vec<Block> {
    let document = std::fs::read_to_string(root().join("docs/LEARN.md")).unwrap();
    let fenced = document.split("```").skip(1).step_by(2);
    fenced
        .map(|block| {
            let (language, text) = block.split_once('\n').unwrap();
            Block { language: language.to_owned(), text: text.trim_end().to_owned() }
        })
        .collect()
}

fn dice(arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    Command::new(env!("CARGO_BIN_EXE_dice")).args(arguments).env_clear().current_dir(root()).output().unwrap()
}

#[test]
fn traces_of_the_document_print_what_it_says() {
    let blocks = blocks();
    let mut compared = 0;
    for (command, printed) in blocks.iter().zip(&blocks[1..]) {
        let Some(arguments) = command.text.strip_prefix("cargo run -- ").filter(|_| printed.language == "text") else {
            continue;
        };
        let output = dice(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let shown = if arguments.starts_with("compare") { text.lines().next().unwrap() } else { text.trim_end() };
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(shown, printed.text, "{arguments}");
        compared += 1;
    }
    assert_eq!(compared, 4);
}

#[test]
fn commands_of_the_document_work() {
    let (_system, ports) = launch(&[("ROLL_DELAY_MAX_MS", "1")]);
    let (mut requests, mut commands) = (0, 0);
    for Block { text: command, .. } in blocks().into_iter().filter(|block| block.language == "sh") {
        if let Some(url) = command.strip_prefix("curl '").and_then(|rest| rest.strip_suffix('\'')) {
            let port = PORTS.into_iter().find(|port| url.contains(&format!(":{port}/"))).unwrap();
            let url = url.replace(&format!("http://127.0.0.1:{port}"), &ports.url(port));
            let response = http::get(&url);
            assert!(response.json()["trace_id"].is_string(), "{command}: {response:?}");
            requests += 1;
        } else if let Some(arguments) = command.strip_prefix("cargo run -- ") {
            let (subcommand, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
            let lasts = (subcommand == "learn" && !rest.is_empty()) || (subcommand == "mystery" && rest.is_empty());
            let output = if lasts { dice(&format!("{subcommand} --help")) } else { dice(arguments) };
            assert!(output.status.success(), "{command}: {output:?}");
            commands += 1;
        } else {
            assert_eq!(command, "cargo run"); // the system itself
        }
    }
    assert_eq!((requests, commands), (4, 8));
}
