//! Tens of thousands of requests, made from what each service's own OpenAPI description says that it takes, and from
//! what it does not say. Every response has a status, a content type and a body that the description names.

use std::collections::BTreeMap;
use std::thread::scope;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value};

use test_support::{Response, raw::Connection};

use crate::common::service::{NO_EXPORT, Service};
use crate::{figure, long};

/// Texts that mean something, and texts that mean harm; the former more often.
const TEXTS: [&str; 30] = [
    "fair",
    "fair",
    "fair",
    "risky",
    "risky",
    "extreme",
    "all-or-nothing",
    "best-effort",
    "on",
    "off",
    "1",
    "5",
    "20",
    "",
    "Fair",
    " fair",
    "fair ",
    "nobody",
    "<b>x</b>",
    "'\"--",
    "%",
    "%00",
    "\u{0}",
    "\r\nx: y",
    "\u{202e}",
    "😀",
    "ｆａｉｒ",
    "../..",
    "null",
    "{}",
];
const NUMBERS: [&str; 18] = [
    "1",
    "2",
    "3",
    "5",
    "10",
    "20",
    "20",
    "0",
    "21",
    "-1",
    "+5",
    "5.0",
    "1e1",
    "007",
    "4294967296",
    "99999999999999999999",
    "",
    "five",
];

/// One operation of a description.
struct Operation {
    path: String,
    /// Names, and whether a number is wanted.
    parameters: Vec<(String, bool)>,
    responses: Map<String, Value>,
}

/// One request that will be sent.
struct Request {
    target: String,
    /// Whether a die with an error rate is among its parameters: only that may fail with 500.
    may_fail: bool,
}

#[test]
fn generated_requests_get_only_responses_of_the_openapi_description() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let count = if long() { 100_000 } else { 8_000 };
    let die_service = Service::start("die-service", &[NO_EXPORT]);
    let behind = [("DIE_SERVICE_URL", &*die_service.url), ("ROLL_DELAY_MAX_MS", "0"), NO_EXPORT];
    let dice_roller = Service::start("dice-roller", &behind);
    let urls = [("DIE_SERVICE_URL", &*die_service.url), ("DICE_ROLLER_URL", &*dice_roller.url), NO_EXPORT];
    let frontend = Service::start("frontend", &urls);

    for service in [&die_service, &dice_roller, &frontend] {
        let description = service.get("/openapi.json").json();
        let operations = operations(&description);
        let mut statuses = BTreeMap::<u16, usize>::new();
        let client = |stream: u64| send(service, &operations, count / 4, StdRng::seed_from_u64(seed ^ stream));
        scope(|threads| {
            let clients: Vec<_> = (0..4).map(|stream| threads.spawn(move || client(stream))).collect();
            for status in clients.into_iter().flat_map(|client| client.join().unwrap()) {
                *statuses.entry(status).or_default() += 1;
            }
        });
        assert!(statuses.contains_key(&200) && statuses.contains_key(&422), "{statuses:?}");
        assert!(service.lines_of("Panic").is_empty());
        figure(&format!("{count} generated requests to {}: {statuses:?}", description["info"]["title"]));
    }
}

/// One client: so many requests, each response held against the description. Returns the statuses.
fn send(service: &Service, operations: &[Operation], count: usize, mut chance: StdRng) -> Vec<u16> {
    let mut connection = Connection::open(&service.url).unwrap();
    let mut one = || {
        let operation = operations.choose(&mut chance).unwrap();
        let request = operation.request(&mut chance);
        let reply = connection.get(&request.target, "").unwrap_or_else(|error| panic!("{}: {error}", request.target));
        operation.check(&request, &reply);
        reply.status
    };
    (0..count).map(|_| one()).collect()
}

fn operations(description: &Value) -> Vec<Operation> {
    let paths = description["paths"].as_object().unwrap();
    let operation = |(path, methods): (&String, &Value)| {
        let get = &methods["get"];
        let parameters = get["parameters"].as_array().into_iter().flatten();
        let is_number = |parameter: &Value| parameter["schema"]["type"].to_string().contains("integer");
        Operation {
            path: path.clone(),
            parameters: parameters.map(|p| (p["name"].as_str().unwrap().to_owned(), is_number(p))).collect(),
            responses: get["responses"].as_object().unwrap().clone(),
        }
    };
    paths.iter().map(operation).collect()
}

impl Operation {
    /// Each parameter is mostly there, mostly of its kind, seldom twice; now and then there is one that nobody knows.
    fn request(&self, chance: &mut StdRng) -> Request {
        let mut pairs = Vec::new();
        for (name, is_number) in &self.parameters {
            let times = *[1, 1, 1, 1, 1, 1, 1, 0, 0, 2].choose(chance).unwrap();
            for _ in 0..times {
                let values: &[&str] = if *is_number == chance.random_bool(0.9) { &NUMBERS } else { &TEXTS };
                pairs.push((name.as_str(), *values.choose(chance).unwrap()));
            }
        }
        if chance.random_bool(0.1) {
            pairs.push(("unheard-of", TEXTS.choose(chance).unwrap()));
        }
        let may_fail = pairs.iter().any(|(name, value)| *name == "die" && ["risky", "extreme"].contains(value));
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value, chance))).collect();
        Request { target: format!("{}?{}", self.path, query.join("&")), may_fail }
    }

    fn check(&self, Request { target, may_fail }: &Request, reply: &Response) {
        let status = reply.status.to_string();
        let class = format!("{}XX", &status[..1]);
        let named = [&*status, &class, "default"].iter().find_map(|key| self.responses.get(*key));
        let named = named.unwrap_or_else(|| panic!("{target}: {status} is not named: {}", reply.text()));
        assert!(reply.status < 500 || (reply.status == 500 && *may_fail), "{target}: {status} {}", reply.text());
        let kind = reply.header("content-type").unwrap_or_default().split(';').next().unwrap();
        assert!(named["content"].get(kind).is_some(), "{target}: {status} with {kind}, named: {named}");
        if kind == "application/problem+json" {
            let problem = reply.json();
            assert_eq!((&problem["status"], &problem["instance"]), (&reply.status.into(), &self.path.as_str().into()));
            let filled = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
            assert!(filled("title") && filled("detail"), "{target}: {problem}");
            assert!(problem["trace_id"].as_str().is_some_and(|id| id.len() == 32), "{target}: {problem}");
        }
        assert!(reply.header("traceresponse").is_some_and(|value| value.len() == 55), "{target}");
    }
}

/// Percent-encoded where it must be, and sometimes where it need not be.
fn encoded(text: &str, chance: &mut StdRng) -> String {
    let all = chance.random_bool(0.1);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let encode = |byte: u8| if plain(byte) && !all { (byte as char).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
