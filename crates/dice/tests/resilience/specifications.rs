//! Files of dice at each bound: what die-service accepts is rolled through dice-roller and listed by frontend; what it
//! does not accept stops it, with one line that names the file, the die and the fault.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::http;

use crate::common::dice;
use crate::common::service::{NO_EXPORT, Service};
use crate::figure;

/// As `telemetry::MAX_BODY`: a client does not read a response of one byte more.
const MAX_BODY: usize = 1 << 20;

/// A file in a directory of the test's own.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = std::env::temp_dir().join(format!("dice-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// One die of the file.
fn die(name: &str, faces: usize) -> String {
    let (name, faces) = (serde_json::json!(name), vec!["7"; faces].join(","));
    format!(r#"{name}: {{"faces": [{faces}], "error_rate": 0}}"#)
}

fn file_of(dice: impl IntoIterator<Item = String>) -> String {
    format!("{{{}}}", dice.into_iter().collect::<Vec<_>>().join(",\n"))
}

/// So many dice, whose names are as long in a response as names can be: 128 bytes, of which nearly all are escaped.
fn many(count: usize) -> String {
    file_of((0..count).map(|number| die(&format!("{}{number:0>4}", "\"".repeat(124)), 1)))
}

/// die-service refuses to start with the file; its one line.
fn refusal(path: &str) -> String {
    let environment = [("DIE_SPECIFICATIONS", path), ("PORT", "0"), NO_EXPORT];
    let finished = dice(&["die-service"], &environment).finish();
    assert_eq!((finished.status.code(), &*finished.stdout), (Some(1), ""), "{}", finished.stderr);
    assert!(finished.stderr.starts_with("error: ") && finished.stderr.contains(path), "{}", finished.stderr);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.len() < 1000, "{}", finished.stderr);
    finished.stderr
}

/// The whole system with the file; the die `name` is rolled and listed.
fn rolls(file: &File, name: &str) {
    let die_service = Service::start("die-service", &[("DIE_SPECIFICATIONS", file.path()), NO_EXPORT]);
    let behind = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
    let dice_roller = Service::start("dice-roller", &behind);
    let urls = [("DIE_SERVICE_URL", &*die_service.url), ("DICE_ROLLER_URL", &*dice_roller.url), NO_EXPORT];
    let frontend = Service::start("frontend", &urls);
    for path in ["roll", "roll-async"] {
        let url = format!("{}/{path}", frontend.url);
        let response = http::send(http::client().get(url).query(&[("die", name), ("times", "3")]));
        assert_eq!(response.status, 200, "{}", response.text());
        let expected = if path == "roll" { "roll" } else { "total" };
        assert!(response.json()[expected].is_i64(), "{}", response.text());
    }
    let page = frontend.get("/");
    assert!(!page.text().contains("id=\"notice\""), "the list is not shown");
    let (listed, known) =
        (page.text().matches("<option value=").count(), die_service.metric("die_specifications_loaded"));
    assert_eq!(listed as f64, known + 2.0, "the dice, and two strategies");
    assert_eq!(dice_roller.get("/roll?die=nobody").status, 404);
    assert_eq!(dice_roller.metric(r#"circuit_breaker_state{target="die-service"}"#), 0.0);
}

#[test]
fn die_of_the_most_faces_is_rolled_and_one_more_face_is_refused() {
    // The response of die-service: `{"identifier":"big","specification":{"faces":[7,7,…],"error_rate":0.0}}`.
    let frame = r#"{"identifier":"big","specification":{"faces":[],"error_rate":0.0}}"#.len();
    let most = (MAX_BODY - frame).div_ceil(2);
    rolls(&File::new("most-faces.json", file_of([die("big", most)])), "big");
    let line = refusal(File::new("faces.json", file_of([die("fair", 6), die("big", most + 1)])).path());
    assert!(line.contains("die 'big': its 524256 faces make a response of"), "{line}");
    refusal(File::new("600000.json", file_of([die("big", 600_000)])).path());
    figure(&format!("die of {most} faces rolled; one face more refused at start"));
}

#[test]
fn most_dice_of_the_longest_names_are_listed_and_rolled_and_one_more_is_refused() {
    let last = format!("{}0999", "\"".repeat(124));
    rolls(&File::new("most-dice.json", many(1000)), &last);
    let line = refusal(File::new("dice.json", many(1001)).path());
    assert!(line.contains("there are more than 1000 dice"), "{line}");
    let long = format!("{last}0");
    let line = refusal(File::new("name.json", file_of([die(&long, 1)])).path());
    assert!(line.contains("its name is too long"), "{line}");
}

#[test]
fn error_rates_of_zero_and_one_are_accepted_and_beyond_is_refused() {
    let of_rate = |rate: &str| format!(r#"{{"x": {{"faces": [1], "error_rate": {rate}}}}}"#);
    for (rate, status) in [("0", 200), ("-0.0", 200), ("1", 500), ("1.0", 500)] {
        let file = File::new("rate.json", of_rate(rate));
        let die_service = Service::start("die-service", &[("DIE_SPECIFICATIONS", file.path()), NO_EXPORT]);
        let behind = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
        let dice_roller = Service::start("dice-roller", &behind);
        assert_eq!(dice_roller.get("/roll?die=x").status, status, "{rate}");
    }
    for rate in ["1.0000000000000002", "-1e-300", "1e999", "-1e999", "NaN", "null", "\"0\""] {
        let line = refusal(File::new("rates.json", of_rate(rate)).path());
        assert!(line.contains("die 'x'"), "{line}");
    }
}

#[test]
fn file_that_is_no_file_of_dice_is_refused_at_once() {
    let directory = std::env::temp_dir();
    assert!(refusal(directory.to_str().unwrap()).contains("not a regular file"));
    assert!(refusal("/dev/zero").contains("not a regular file"));
    let pipe = directory.join(format!("dice-{}-pipe", std::process::id()));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let line = refusal(pipe.to_str().unwrap()); // opening it would wait for a writer
    fs::remove_file(&pipe).unwrap();
    assert!(line.contains("not a regular file"), "{line}");

    let huge = File::new("huge.json", "");
    fs::OpenOptions::new().write(true).open(Path::new(huge.path())).unwrap().set_len(1 << 40).unwrap();
    assert!(refusal(huge.path()).contains("it is longer than 16777216 bytes"));

    let mut text = file_of([die("fair", 6)]);
    assert!(refusal(File::new("twice.json", text.replace('}', "}, \"fair\": null}")).path()).contains("die 'fair'"));
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(refusal(File::new("utf-16.json", [&[0xff, 0xfe][..], &utf16].concat()).path()).contains("not UTF-8"));
    text.insert(0, '\u{feff}'); // as editors on Windows write it
    rolls(&File::new("bom.json", text), "fair");
}
