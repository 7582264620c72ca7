//! Nothing that a running incident shows names a fault.

use mystery::mechanisms;
use serde_json::Value;
use test_support::http;

use crate::play::Play;

/// Traces whose text is searched.
const TRACES: usize = 12;

/// Every spelling of a name: `slow-die`, `slow_die`, `slow die`, `slow.die`, `slowDie`; texts are searched in lower case.
fn spellings(name: &str) -> Vec<String> {
    ["-", "_", " ", ".", "", "/", "%20"].map(|joint| name.replace('-', joint)).to_vec()
}

/// The names in a text, in any spelling, and what mechanisms do, in words.
fn named(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let faults = mechanisms().filter(|mechanism| mechanism.culprit != mystery::NOBODY);
    let names = faults.flat_map(|fault| spellings(fault.name).into_iter().chain([fault.sentence.to_lowercase()]));
    names.filter(|name| text.contains(name.as_str())).collect()
}

/// Searches all that a person sees of this system, and what the operating system shows of its processes.
pub(crate) fn shows_no_fault(play: &Play) {
    let mut sources = vec![("the launcher and the log lines".to_owned(), play.launcher.text())];
    let viewer = play.ports.viewer();
    let mut paths = vec![format!("{viewer}/"), format!("{viewer}/map"), format!("{viewer}/api/search/tags")];
    let found: Value = serde_json::from_str(&http::get(format!("{viewer}/api/search?limit={TRACES}")).text()).unwrap();
    let ids: Vec<_> =
        found["traces"].as_array().unwrap().iter().map(|trace| trace["traceID"].as_str().unwrap()).collect();
    assert!(ids.len() > TRACES / 2, "only {ids:?}");
    for id in &ids {
        paths.extend([format!("{viewer}/api/traces/{id}"), format!("{viewer}/trace/{id}")]);
    }
    paths.push(format!("{viewer}/compare/{}/{}", ids[0], ids[1]));
    for service in [play.ports.frontend(), play.ports.dice_roller(), play.ports.die_service()] {
        let pages = ["/", "/metrics", "/openapi.json", "/docs/", "/ready", "/health", "/faults"];
        paths.extend(pages.map(|page| format!("{service}{page}")));
    }
    paths.push(viewer.clone() + "/metrics");
    sources.extend(paths.into_iter().map(|path| (path.clone(), http::get(path).text())));
    for entry in std::fs::read_dir(play.folder.join(mystery::FOLDER)).unwrap() {
        let path = entry.unwrap().path();
        sources.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
    }
    sources.extend(processes(play.launcher.id()));
    for (source, text) in sources {
        let named = named(&text);
        assert!(named.is_empty(), "{source} names {named:?}");
    }
}

/// The title, name and environment of a process and its children.
#[cfg(target_os = "linux")]
fn processes(launcher: i32) -> Vec<(String, String)> {
    let all = procfs::process::all_processes().unwrap().flatten();
    let of_launcher =
        all.filter(|process| process.pid == launcher || process.stat().is_ok_and(|stat| stat.ppid == launcher));
    let texts = of_launcher.map(|process| {
        let environment = process.environ().unwrap();
        let parts = (process.cmdline().unwrap(), process.stat().unwrap().comm, environment);
        (format!("process {}", process.pid), format!("{parts:?}"))
    });
    let texts: Vec<_> = texts.collect();
    assert_eq!(texts.len(), 6, "launcher, viewer, three services and traffic: {texts:?}");
    texts
}

/// Elsewhere it takes more than a file to find out.
#[cfg(not(target_os = "linux"))]
fn processes(_: i32) -> Vec<(String, String)> {
    Vec::new()
}

#[test]
fn every_spelling_of_a_name_is_found() {
    for text in [
        "a slow-die",
        "SLOW_DIE=1",
        "{\"slowDie\"",
        "SlowDie",
        "slow die",
        "Die-service waits before it sends \
                 the specification of a die.",
    ] {
        assert!(!named(text).is_empty(), "{text}");
    }
    assert_eq!(named("a slow request of die-service"), Vec::<String>::new());
}
