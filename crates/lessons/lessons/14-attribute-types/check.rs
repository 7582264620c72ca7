use trace_check::Type;

use crate::{Random, Reply, Request, Run, Setup, Steps};

pub(crate) fn setup(random: &mut Random) -> Setup {
    let first = random.number(1_000..=8_000);
    let users = (0..random.number(4..=7)).map(|i| (first + 97 * i).to_string()).collect::<Vec<_>>();
    let delay = random.milliseconds(20..=40);
    Setup::new().variable("USERS", users.join(",")).upstream(move |request| {
        let user = request.last().parse().unwrap_or_default();
        let orders: Vec<_> = orders(user).iter().map(|order| format!("{order:?}")).collect();
        let body = format!("{{\"balance\": {}, \"orders\": [{}]}}", balance(user), orders.join(", "));
        Reply::text(body).after(delay)
    })
}

/// The account of a user follows from the number: a multiple of a quarter, but no whole number.
fn balance(user: u64) -> f64 {
    (user % 151) as f64 - 75.0 + [0.25, 0.5, 0.75][(user % 3) as usize]
}

fn orders(user: u64) -> Vec<String> {
    (1..=user % 4 + 1).map(|i| format!("lamp-{}", user * 7 % 900 + i)).collect()
}

pub(crate) fn check(run: &Run, steps: &mut Steps<'_>) {
    let users: Vec<u64> = run.list("USERS").iter().filter_map(|user| user.parse().ok()).collect();
    steps.step("each-user-once", &["Each user of USERS has to be loaded, once."], |trace| {
        let mut loaded: Vec<u64> = run.requests().iter().filter_map(|request| request.last().parse().ok()).collect();
        loaded.sort_unstable();
        let found = format!("{loaded:?}");
        trace.state("each_user_once", loaded == users, &format!("requests for {users:?}"), &found);
    });
    steps.step(
        "one-name",
        &[
            "Each span has a name of its own, because the number of the user is in it. No tool can group them.",
            "The field `otel.name` replaces the name. It can be the route with the place of the number, `GET /users/{id}`: no `format!`.",
            "`info_span!(\"GET /users/{id}\", user.id = …)`: the name is not a format string, `{id}` stays as it is.",
        ],
        |trace| {
            trace.span("GET /users/{id}").count(users.len());
            trace.span("GET /users/*").count(users.len());
        },
    );
    steps.step(
        "integer",
        &[
            "`user.id` is a text. Is a `u64` a number in OpenTelemetry?",
            "OpenTelemetry's integer is an `i64`. What does not fit into one, as a `u64` or a `usize` may, `tracing-opentelemetry` writes as text. `%` and `?` make a text of everything.",
            "`user.id = id as i64`",
        ],
        |trace| {
            trace.span("GET /users/{id}").attribute_type("user.id", Type::Integer);
            for user in &users {
                trace.span("GET /users/{id}").with("user.id", *user).exactly_once();
            }
        },
    );
    steps.step(
        "lasts-as-long",
        &["A request was in progress while its span was not: the span has to last as long as the call."],
        |trace| {
            let user = |request: &Request| request.last().parse::<u64>().unwrap_or_default();
            run.each_request_inside_its(trace, |request| trace.span("GET /users/{id}").with("user.id", user(request)));
        },
    );
    steps.step(
        "float",
        &[
            "`balance` is not the float that the service sent, so nobody can search for the accounts below 0.",
            "`to_string()` makes a text. `record` takes an `f64`, too: `account[\"balance\"].as_f64()`.",
        ],
        |trace| {
            for user in &users {
                trace.span("GET /users/{id}").with("user.id", *user).attribute("balance", balance(*user));
            }
        },
    );
    steps.step(
        "list",
        &[
            "`orders` is not a list of texts, but perhaps a text that looks like one: a search for one order would not find it.",
            "A field of `tracing` cannot hold a list. `set_attribute` of `tracing_opentelemetry::OpenTelemetrySpanExt` can.",
            "The value is `opentelemetry::Value::Array(opentelemetry::Array::String(…))`, a `Vec<StringValue>`.",
        ],
        |trace| {
            for user in &users {
                trace.span("GET /users/{id}").with("user.id", *user).attribute("orders", orders(*user));
            }
        },
    );
}
