//! What a client sent, in output for people: nothing in it reverses or hides text on a terminal.

use std::process::Command;

use test_support::{Process, http};

use crate::common::{dice, launch};

/// U+202E reverses what follows, U+200B cannot be seen; both are in the category Cf.
const NAME: &str = "x\u{202e}fair\u{200b}";
const IN_URL: &str = "x%E2%80%AEfair%E2%80%8B";

fn has_only_visible_text(text: &str) {
    assert!(text.contains(r"\u{202e}fair\u{200b}"), "{text}");
    let hidden = |c: char| c == '\u{202e}' || c == '\u{200b}';
    let line = text.lines().find(|line| line.contains(hidden) || line.contains(char::is_control));
    assert_eq!(line, None);
}

#[test]
fn lines_of_the_launcher_and_its_clients_show_hidden_characters() {
    let (launcher, ports) = launch(&[]);
    assert_eq!(http::get(format!("{}/roll?die={IN_URL}", ports.frontend())).status, 404);
    launcher.wait_for(|line| line.contains("Backend returned error"));
    has_only_visible_text(&launcher.text());

    let offset = ports.offset.to_string();
    let measured = dice(&["async-performance", "--port-offset", &offset, "--die", NAME], &[]).finish();
    has_only_visible_text(&measured.stderr);
    let traffic = ["generate-traffic", "--port-offset", &offset, "--num-users=1", "--max-rolls-per-user=1"];
    has_only_visible_text(&dice(&[&traffic[..], &["--dice", NAME]].concat(), &[]).finish().stdout);
}

#[test]
fn pretty_lines_of_a_service_show_hidden_characters() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dice"));
    command.args(["die-service", "--port", "0"]).env_clear().env("LOG_FORMAT", "pretty");
    let service = Process::spawn(command).unwrap();
    let line = service.wait_for(|line| line.contains("starting up"));
    let address = line.split("address=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(http::get(format!("http://{address}/dice?identifier={IN_URL}")).status, 404);
    service.wait_for(|line| line.contains("Unknown die"));
    has_only_visible_text(&service.text());
}
