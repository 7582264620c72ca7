//! How faults are switched: by `FAULTS` at start, by a file, by a page; and what is refused.

use reqwest::blocking::RequestBuilder;
use serde_json::Value;
use test_support::browser::browse;
use test_support::{Process, Response, eventually, http};

use crate::common::service::{NO_EXPORT, Service};
use crate::common::{dice, launch_until};
use crate::signatures::Switched;

const ON: &str = "Fault switched on";
const OFF: &str = "Fault switched off";

fn faults(lines: &[Value]) -> Vec<(&str, &str)> {
    lines.iter().map(|line| (line["fault"].as_str().unwrap(), line["value"].as_str().unwrap_or("none"))).collect()
}

#[test]
fn bad_value_stops_service_and_launcher_with_the_same_line() {
    for (value, allowed) in [
        ("slow-dice", "allowed: on, lock-across-await, "),
        ("lost-context,clock-skew=0", "allowed: a number from 1 to 60000"),
        ("slow-die=fair", "allowed: a number from 1 to 1500"),
        ("early-answer=1", "allowed: no value"),
    ] {
        let mut lines = Vec::new();
        for program in [&["die-service", "--port=0"][..], &["dice-roller", "--port=0"], &["frontend", "--port=0"], &[]]
        {
            let stopped = dice(program, &[("FAULTS", value)]).finish();
            assert_eq!((stopped.status.code(), &*stopped.stdout), (Some(2), ""), "{program:?}");
            lines.push(stopped.stderr);
        }
        assert!(lines[0].starts_with(&format!("error: FAULTS (--faults): '{value}' is not valid: ")), "{}", lines[0]);
        assert!(lines[0].contains(allowed) && lines[0].lines().count() == 1, "{}", lines[0]);
        lines.dedup();
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

#[test]
fn faults_of_the_environment_are_on_from_the_start_each_in_its_service() {
    let value = "on,slow-die=fair:5,lost-context,small-pool,dropped-spans=100";
    let (mut launcher, _) = launch_until("The system is running", &[("FAULTS", value), ("LOG_FORMAT", "json")]);
    assert!(launcher.stop().success()); // so that no line comes after those
    let lines = launcher.json_lines_of(ON);
    let mut seen: Vec<_> = lines
        .iter()
        .map(|line| ["service", "fault", "value", "level"].map(|name| line[name].as_str().unwrap_or("none")))
        .collect();
    seen.sort();
    let expected = [
        ["dice-roller", "dropped-spans", "100", "WARNING"],
        ["dice-roller", "small-pool", "50", "WARNING"],
        ["die-service", "slow-die", "fair:5", "WARNING"],
        ["frontend", "lost-context", "none", "WARNING"],
    ];
    assert_eq!(seen, expected);
}

#[test]
fn file_that_is_gone_or_not_valid_keeps_what_is_on_and_leaves_one_line() {
    let file = format!("{}/faults-bad-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let not_used = "Faults file not used";
    let service = Service::start("die-service", &[("FAULTS_FILE", &file), ("FAULTS", "slow-die=7"), NO_EXPORT]);
    let count = |message: &str| service.lines_of(message).len();
    eventually("a line about a file that is not there", || (count(not_used) == 1).then_some(()));
    for (step, content) in ["slow-dice", "clock-skew=0", &"x".repeat(5000)].into_iter().enumerate() {
        std::fs::write(&file, content).unwrap();
        eventually(content, || (count(not_used) == step + 2).then_some(()));
    }
    std::fs::write(&file, "clock-skew=5\nslow-die=7").unwrap();
    eventually("a line about what is new", || (count(ON) == 2).then_some(()));
    std::fs::remove_file(&file).unwrap();
    eventually("one more line", || (count(not_used) == 5).then_some(()));
    assert_eq!(faults(&service.lines_of(ON)), [("slow-die", "7"), ("clock-skew", "5")]);
    assert_eq!(count(OFF), 0, "nothing was switched off");
    let errors: Vec<_> = service.lines_of(not_used).iter().map(|line| line["error"].to_string()).collect();
    assert!(errors[1].contains("'slow-dice' is no fault; allowed: on"), "{errors:?}");
    assert!(errors[3].contains("longer than 4096 bytes"), "{errors:?}");
}

#[test]
fn sealed_file_switches_and_nothing_names_the_fault() {
    let switched = Switched::start("sealed", &[]);
    switched.system.get("/roll?die=fair");
    let answers = |status: u16| {
        let path = "/roll-async?die=extreme&times=20&seed=3"; // of twenty, some fail
        eventually("the fault", || (switched.system.get(path).status == status).then_some(()))
    };
    answers(500);
    switched.put(&faults::seal("hidden-error"));
    answers(200);
    switched.put(&faults::seal(""));
    answers(500);
    switched.put("sealed:00ff");
    let line = eventually("a line", || switched.system.log_of("Faults file not used").pop());
    assert_eq!(line["error"], "what is sealed in it is not valid");
    answers(500);
    switched.put(&faults::seal("hidden-error"));
    answers(200);
    let text = switched.system.launcher.text();
    let metrics = http::get(switched.system.ports.dice_roller() + "/metrics").text();
    for spelling in ["hidden", "Fault switched"] {
        assert!(!text.contains(spelling) && !metrics.contains(spelling), "{spelling}");
    }
}

/// A service with a page of switches.
fn with_page() -> Service {
    Service::start("die-service", &[("FAULTS", "on"), NO_EXPORT])
}

fn post(service: &Service, body: &str) -> RequestBuilder {
    let request = http::client().post(format!("{}/faults", service.url)).body(body.to_owned());
    request.header("content-type", "application/x-www-form-urlencoded")
}

#[test]
fn page_switches_faults_of_its_service() {
    let service = with_page();
    let page = || service.get("/faults").text();
    assert!(page().contains("<code>slow-die</code> is <span class=\"state\">off</span>"), "{}", page());
    assert!(!page().contains("lost-context"), "it is frontend's");
    // The client follows the redirection to the page.
    let switched =
        http::send(post(&service, "fault=slow-die&value=fair%3A20&switch=on").header("origin", &service.url));
    assert_eq!((switched.status, switched.text()), (200, page()));
    assert!(page().contains("<code>slow-die</code> is <span class=\"state on\">on</span>"), "{}", page());
    assert!(page().contains("value=\"fair:20\""), "{}", page());
    assert_eq!(http::send(post(&service, "fault=slow-die&switch=off")).status, 200);
    for message in [ON, OFF] {
        eventually(message, || (faults(&service.lines_of(message)) == [("slow-die", "fair:20")]).then_some(()));
    }

    for (body, status, text) in [
        ("fault=lost-context&switch=on", 422, "no such fault"),
        ("fault=%3Cb%3E&switch=on", 422, "no such fault"),
        ("fault=slow-die&switch=on&value=%3Cscript%3E", 422, "allowed: a number from 1 to 1500"),
        ("fault=slow-die", 422, "missing field"),
        (&"x".repeat(5000), 413, ""),
    ] {
        let response = http::send(post(&service, body));
        assert_eq!(response.status, status, "{body}: {}", response.text());
        assert!(response.text().contains(text) && !response.text().contains("<script"), "{body}: {}", response.text());
    }
    assert_eq!(service.lines_of(ON).len(), 1, "no refused form has switched anything");
}

#[test]
fn page_is_refused_under_foreign_host_and_to_foreign_origin() {
    let service = with_page();
    let port = service.url.rsplit_once(':').unwrap().1.to_owned();
    let get = |host: &str| http::send(http::client().get(format!("{}/faults", service.url)).header("host", host));
    for host in [format!("localhost:{port}"), format!("die.localhost:{port}"), format!("127.0.0.1:{port}")] {
        assert_eq!(get(&host).status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "10.0.0.1", "0.0.0.0"] {
        assert_eq!(get(host).status, 403, "{host}");
    }
    let body = "fault=slow-die&switch=on";
    let from = |origin: &str| http::send(post(&service, body).header("origin", origin));
    for origin in
        ["http://evil.example", "null", "https://127.0.0.1", &format!("http://localhost:{port}"), "http://127.0.0.1:1"]
    {
        assert_eq!(from(origin).status, 403, "{origin}");
    }
    assert!(service.get("/faults").text().contains("<code>slow-die</code> is <span class=\"state\">off</span>"));
    assert_eq!(from(&service.url).status, 200);
    eventually(ON, || (service.lines_of(ON).len() == 1).then_some(()));
}

#[test]
fn page_is_there_only_with_on_and_only_on_loopback() {
    let status = |process: &Process| {
        let url = process.url("address").replace("0.0.0.0", "127.0.0.1");
        let page: Response = http::get(format!("{url}/faults"));
        (page.status, http::get(format!("{url}/")).text().contains("href=\"/faults\""))
    };
    let start = |environment: &[(&str, &str)]| {
        let own = [("PORT", "0"), NO_EXPORT, ("DIE_SERVICE_URL", "http://127.0.0.1:9")];
        dice(&["frontend"], &[&own[..], environment].concat())
    };
    assert_eq!(status(&start(&[])), (404, false));
    assert_eq!(status(&start(&[("FAULTS", "lost-context")])), (404, false));
    assert_eq!(status(&start(&[("FAULTS", "on")])), (200, true));
    let everywhere = start(&[("FAULTS", "on"), ("HOST", "0.0.0.0")]);
    assert_eq!(status(&everywhere), (404, false));
    assert_eq!(everywhere.json_lines_of("Setting has no effect")[0]["setting"], "FAULTS");
}

#[test]
fn table_of_the_document_is_the_table_of_the_code() {
    let page = crate::common::prometheus::read("docs/FAULTS.md");
    let rows = page.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() >= 4);
    let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    assert_eq!(rows.len(), faults::TABLE.len(), "{rows:#?}");
    for (row, info) in rows.iter().zip(&faults::TABLE) {
        assert_eq!((row[0].trim_matches('`'), row[1]), (info.name, info.service));
        let default = info.value.as_ref().map(|value| format!("({})", value.default)).unwrap_or_default();
        assert!(row[4].contains(&default) && row[4].is_empty() == info.value.is_none(), "{}: {}", info.name, row[4]);
    }
}

#[test]
fn sealed_page_neither_shows_nor_switches() {
    let file = format!("{}/faults-page-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    std::fs::write(&file, faults::seal("slow-die=300")).unwrap();
    let service = Service::start("die-service", &[("FAULTS", "on"), ("FAULTS_FILE", &file), NO_EXPORT]);
    let page = eventually("the sealed page", || {
        Some(service.get("/faults").text()).filter(|page| page.contains("What is on is sealed"))
    });
    let refused = http::send(post(&service, "fault=slow-die&switch=off"));
    assert_eq!(refused.status, 422);
    for text in [page, refused.text()] {
        assert!(!text.contains("slow-die") && !text.contains("300"), "{text}");
    }
    std::fs::write(&file, "slow-die=300").unwrap();
    eventually(ON, || (faults(&service.lines_of(ON)) == [("slow-die", "300")]).then_some(()));
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn browser_without_script_switches_on_the_page_that_the_form_links_to() {
    let (launcher, ports) = launch_until("The system is running", &[("FAULTS", "on"), ("LOG_FORMAT", "json")]);
    let seen = browse(false, async |browser| {
        browser.open(&ports.frontend()).await?;
        browser.click("footer a[href='/faults']").await?;
        browser.click("form:has(input[value='retry-storm']) button[value='on']").await?;
        let on = browser.text("form:has(input[value='retry-storm']) .state.on").await?;
        browser.click("a[href$='/faults']").await?; // of dice-roller
        let heading = browser.text("h1").await?;
        Ok((on, heading))
    });
    let Some(seen) = seen else { return };
    assert_eq!(seen, ("on".to_owned(), "Faults of dice-roller".to_owned()));
    eventually(ON, || (faults(&launcher.json_lines_of(ON)) == [("retry-storm", "10")]).then_some(()));
}
