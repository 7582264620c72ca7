//! What the three services count, compared with exactly what was sent.

use std::collections::BTreeMap;

use test_support::http;

use crate::common::System;

/// What moved between two looks. Times and their distribution vary; how many there were does not.
fn moved(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let varies = |name: &str| {
        name.contains("_bucket")
            || name.contains("_seconds_sum")
            || name.starts_with("process_")
            || name.starts_with("telemetry_")
    };
    let change = |(name, value): (&String, &f64)| (name.clone(), value - before.get(name).unwrap_or(&0.0));
    after.iter().map(change).filter(|(name, change)| *change != 0.0 && !varies(name)).collect()
}

fn expected(samples: &[(&str, f64)]) -> BTreeMap<String, f64> {
    samples.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

#[test]
fn metrics_move_by_what_was_sent() {
    let system = System::start(&[("ROLL_DELAY_MAX_MS", "0")]);
    // Until frontend has made the requests of its start.
    system.launcher.wait_for(|line| line.contains("Die list fetched"));
    let look = || {
        [system.ports.frontend(), system.ports.dice_roller(), system.ports.die_service()].map(|url| http::metrics(&url))
    };
    let before = look();

    let mut rolled = 0.0;
    for _ in 0..3 {
        rolled += system.get("/roll?die=fair").json()["roll"].as_f64().unwrap();
    }
    for _ in 0..2 {
        assert_eq!(system.get("/roll-async?die=fair&times=4").status, 200);
    }
    assert_eq!(system.get("/roll?die=nope").status, 404);
    assert_eq!(system.get("/roll-async?die=fair&times=0").status, 422);
    assert_eq!(system.get("/nowhere").status, 404);

    let after = look();
    let [frontend, dice_roller, die_service] = [0, 1, 2].map(|at| moved(&before[at], &after[at]));
    assert_eq!(
        frontend,
        expected(&[
            (r#"http_requests_total{handler="/roll",method="GET",status="2xx"}"#, 3.0),
            (r#"http_requests_total{handler="/roll",method="GET",status="4xx"}"#, 1.0),
            (r#"http_requests_total{handler="/roll-async",method="GET",status="2xx"}"#, 2.0),
            (r#"http_requests_total{handler="/roll-async",method="GET",status="4xx"}"#, 1.0),
            (r#"http_requests_total{handler="none",method="GET",status="4xx"}"#, 1.0),
            (r#"http_request_duration_seconds_count{handler="/roll",method="GET"}"#, 4.0),
            (r#"http_request_duration_seconds_count{handler="/roll-async",method="GET"}"#, 3.0),
            (r#"http_request_duration_seconds_count{handler="none",method="GET"}"#, 1.0),
            (r#"frontend_requests_total{die_type="fair",status="received"}"#, 5.0),
            (r#"frontend_requests_total{die_type="fair",status="success"}"#, 5.0),
            (r#"frontend_requests_total{die_type="unknown",status="received"}"#, 1.0),
            (r#"frontend_requests_total{die_type="unknown",status="error"}"#, 1.0),
            (r#"backend_requests_total{die_type="fair",status_code="200"}"#, 5.0),
            (r#"backend_requests_total{die_type="unknown",status_code="404"}"#, 1.0),
            (r#"backend_request_duration_seconds_count{die_type="fair"}"#, 5.0),
            (r#"backend_request_duration_seconds_count{die_type="unknown"}"#, 1.0),
            (r#"async_roll_requests_total{batch_size="4"}"#, 2.0),
        ])
    );
    assert_eq!(
        dice_roller,
        expected(&[
            (r#"http_requests_total{handler="/roll",method="GET",status="2xx"}"#, 3.0),
            (r#"http_requests_total{handler="/roll",method="GET",status="4xx"}"#, 1.0),
            (r#"http_requests_total{handler="/roll-async",method="GET",status="2xx"}"#, 2.0),
            (r#"http_request_duration_seconds_count{handler="/roll",method="GET"}"#, 4.0),
            (r#"http_request_duration_seconds_count{handler="/roll-async",method="GET"}"#, 2.0),
            (r#"dice_rolls_total{die_type="fair",result="success"}"#, 3.0),
            (r#"dice_rolls_total{die_type="unknown",result="error"}"#, 1.0),
            (r#"dice_roll_value_count{die_type="fair"}"#, 3.0),
            (r#"dice_roll_value_sum{die_type="fair"}"#, rolled),
            (r#"roll_duration_seconds_count{mode="sync"}"#, 3.0),
            (r#"roll_duration_seconds_count{mode="async"}"#, 8.0),
            (r#"die_service_requests_total{identifier="fair",status="success"}"#, 5.0),
            (r#"die_service_requests_total{identifier="unknown",status="error_404"}"#, 1.0),
            ("die_service_request_duration_seconds_count", 6.0),
            (r#"async_rolls_total{die_type="fair",result="success"}"#, 8.0),
            ("async_roll_batch_size_count", 2.0),
            ("async_roll_batch_size_sum", 8.0),
            ("async_roll_duration_seconds_count", 2.0),
        ])
    );
    assert_eq!(
        die_service,
        expected(&[
            (r#"http_requests_total{handler="/dice",method="GET",status="2xx"}"#, 5.0),
            (r#"http_requests_total{handler="/dice",method="GET",status="4xx"}"#, 1.0),
            (r#"http_request_duration_seconds_count{handler="/dice",method="GET"}"#, 6.0),
            (r#"die_specifications_requested_total{identifier="fair"}"#, 5.0),
        ])
    );
}
