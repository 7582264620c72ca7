//! What `dice mystery answer` says, and when there is nothing to judge.

use mystery::mechanisms;
use serde_json::Value;
use test_support::{NOWHERE, Signal, eventually};

use crate::play::{Play, dice_in, folder, fresh};

const EVIDENCE: &str = r#"{ name = "GET /roll-async" }"#;

fn answer<'a>(culprit: &'a str, mechanism: &'a str, evidence: &'a str) -> [&'a str; 7] {
    ["answer", "--culprit", culprit, "--mechanism", mechanism, "--evidence", evidence]
}

/// A terminal of 80 columns shows the line as one.
#[track_caller]
fn fits(line: &str) {
    assert!(line.chars().count() <= 80, "{line}");
}

#[test]
fn answers_without_an_incident_and_with_unknown_names_are_refused_in_one_line() {
    let folder = folder();
    for (args, expected) in [
        (answer("none", "healthy", EVIDENCE), "error: no incident runs that was started in this folder"),
        (answer("die-servce", "healthy", EVIDENCE), "error: --culprit 'die-servce': allowed: frontend, dice-roller, "),
        (
            answer("none", "slow\u{1b}die", EVIDENCE),
            "error: --mechanism 'slow\\u{1b}die': allowed: lock-across-await, ",
        ),
        (
            answer("none", "slow-die", EVIDENCE),
            "error: --culprit none with --mechanism slow-die is no answer: allowed: none with healthy, or a service with ",
        ),
        (
            answer("dice-roller", "healthy", EVIDENCE),
            "error: --culprit dice-roller with --mechanism healthy is no answer: allowed: none with healthy, or a ",
        ),
        (answer("none", "healthy", "12g4"), "error: EVIDENCE (--evidence): '12g4' is not valid: allowed: a trace id"),
        (answer("none", "healthy", ""), "error: EVIDENCE (--evidence): '' is not valid: allowed: a trace id"),
    ] {
        let finished = dice_in(&folder, &[&["mystery"], &args[..]].concat(), &[]).finish();
        assert_eq!((finished.status.code(), &*finished.stdout), (Some(2), ""), "{args:?}: {}", finished.stderr);
        assert!(finished.stderr.starts_with(expected), "{args:?}: {}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn mechanisms_are_listed_for_people_and_programs() {
    let folder = folder();
    let list = |args: &[&str]| dice_in(&folder, &[&["mystery", "mechanisms"], args].concat(), &[]).finish().stdout;
    let listed: Vec<Value> = serde_json::from_str(&list(&["--json"])).unwrap();
    assert!(listed.len() > 12, "{listed:?}");
    let text = list(&[]);
    text.lines().for_each(fits);
    for (mechanism, listed) in mechanisms().zip(listed) {
        assert_eq!(listed, serde_json::json!({ "name": mechanism.name, "sentence": mechanism.sentence }));
        assert!(text.contains(&format!("  {} ", mechanism.name)), "{text}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn first_answer_counts_and_reveals_with_a_healthy_trace_beside_it() {
    let (seed, level) = fresh("one-call-per-roll");
    let mut play = Play::start(seed, level, &[]);
    play.launcher.wait_for(|line| line.contains(&format!("mystery --seed {seed} --level {level}")));
    let early = play.mystery(&answer("none", "healthy", EVIDENCE));
    if early.status.code() == Some(2) {
        assert!(early.stderr.starts_with("error: the incident has not begun"), "{}", early.stderr);
    }
    play.wait_for_traces(60);

    // Nothing to judge: what is wrong here is not an answer.
    for (args, expected) in [
        ([&answer("none", "healthy", "{ name > }")[..], &[]].concat(), "error: the viewer does not take the query: "),
        ([&answer("none", "healthy", "12")[..], &["--tempo-url", NOWHERE]].concat(), "error: no trace from "),
        ([&answer("none", "healthy", EVIDENCE)[..], &["--tempo-url", NOWHERE]].concat(), "error: no search at "),
        (answer("none", "healthy", "12").to_vec(), "error: --evidence: no trace of the viewer has this id; "),
        (
            answer("none", "healthy", r#"{ name = "GET /nothing" }"#).to_vec(),
            "error: --evidence: no trace of the viewer matches the query; ",
        ),
    ] {
        let finished = play.mystery(&args);
        assert_eq!(finished.status.code(), Some(2), "{args:?}: {}", finished.stdout);
        assert!(finished.stderr.starts_with(expected), "{args:?}: {}", finished.stderr);
    }
    let offset = play.ports.offset.to_string();
    let second = dice_in(&play.folder, &["mystery", "--port-offset", &offset], &[]).finish();
    assert!(second.stderr.starts_with("error: an incident runs already"), "{}", second.stderr);

    let begun = play.launcher.wait_for(|line| line.contains("A healthy trace: "));
    // The seeds of tests are longer than those that `mystery` chooses.
    play.launcher.lines().iter().filter(|line| !line.contains("--seed")).for_each(|line| fits(line));
    let (_, healthy) = begun.rsplit_once("/trace/").unwrap();
    let wrong = play.mystery(&answer("dice-roller", "slow-die", healthy));
    // Addresses and a query are copied, code and bars are drawn: they are as long as they are.
    let (query, statement) = ("A query whose results show it", "What does not hold in the evidence");
    let sections =
        wrong.stdout.split("\n\n").filter(|section| ![query, statement].iter().any(|of| section.starts_with(of)));
    sections.flat_map(str::lines).filter(|line| !line.contains("/compare/")).for_each(fits);
    assert_eq!(wrong.status.code(), Some(1), "{}", wrong.stderr);
    for expected in [
        "Not right: culprit right, mechanism wrong, evidence wrong.",
        "A healthy trace (A) beside it (B)",
        "1 of 3 points; 1 of 3 in one",
    ] {
        assert!(wrong.stdout.contains(expected), "{expected}: {}", wrong.stdout);
    }
    // A trace from before the incident shows nothing of it.
    let (right, verdict) = play.answer("dice-roller", "one-call-per-roll", healthy);
    let correct = serde_json::json!({ "culprit": true, "mechanism": true, "evidence": false });
    assert_eq!((right, &verdict["correct"], &verdict["score"]), (false, &correct, &2.into()), "{verdict}");
    // What it reveals is right, but comes too late to count.
    let (_, reveal) = play.answer("none", "healthy", EVIDENCE);
    assert_eq!((&reveal["culprit"], &reveal["mechanism"]), (&"dice-roller".into(), &"one-call-per-roll".into()));
    for evidence in [&reveal["evidence"], &reveal["evidence_query"]] {
        let (right, verdict) = play.answer("dice-roller", "one-call-per-roll", evidence.as_str().unwrap());
        assert!(right && verdict["score"] == 3, "{verdict}");
        let compare = verdict["compare_url"].as_str().unwrap();
        assert!(compare.starts_with(&format!("{}/compare/", play.ports.viewer())), "{compare}");
        assert!(test_support::http::get(compare).status == 200);
        assert!(!verdict["comparison"].as_str().unwrap().is_empty(), "{verdict}");
    }
    let again = play.mystery(&answer("dice-roller", "one-call-per-roll", reveal["evidence"].as_str().unwrap()));
    assert!(
        again.stdout.contains("3 of 3 points; 1 of 3 in one incident; this one was answered before"),
        "{}",
        again.stdout
    );

    let elsewhere =
        dice_in(&play.folder, &[&["mystery"], &answer("none", "healthy", EVIDENCE)[..]].concat(), &[]).finish();
    let expected = format!(
        "error: no incident runs with --port-offset 0 that was started in this folder, but one with --port-offset {offset}: "
    );
    assert!(elsewhere.stderr.starts_with(&expected), "{}", elsewhere.stderr);

    play.stop();
    let files: Vec<_> =
        std::fs::read_dir(play.folder.join(mystery::FOLDER)).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(files, ["score.json"]);
    let after = play.mystery(&answer("none", "healthy", EVIDENCE));
    assert!(after.stderr.starts_with("error: no incident runs with --port-offset"), "{}", after.stderr);
}

#[test]
fn incident_whose_launcher_was_killed_is_none() {
    let mut play = Play::start(1, 1, &[]);
    play.launcher.signal(Signal::SIGKILL);
    play.launcher.wait();
    let refused = play.mystery(&answer("none", "healthy", EVIDENCE));
    assert!(refused.stderr.starts_with("error: no incident runs"), "{}", refused.stderr);
    eventually("all ports free again", || play.ports.are_free().then_some(()));
}

#[test]
fn mystery_needs_the_viewer() {
    let folder = folder();
    let refused = dice_in(&folder, &["mystery"], &[("OTEL_EXPORTER_OTLP_ENDPOINT", NOWHERE)]).finish();
    assert!(refused.stderr.starts_with("error: a mystery needs the trace viewer"), "{}", refused.stderr);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn taken_port_is_reported_with_the_command_that_moves_the_mystery() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let offset = taken.local_addr().unwrap().port() - 8107;
    let args = ["mystery", "--seed", "7", "--level", "2", "--port-offset", &offset.to_string()];
    let stopped = dice_in(&folder, &args, &[]).finish();
    let expected = format!("`cargo run -- mystery --seed 7 --level 2 --port-offset {}`\n", offset + 100);
    assert!(stopped.stderr.ends_with(&expected), "{}", stopped.stderr);
    std::fs::remove_dir_all(folder).unwrap();
}
