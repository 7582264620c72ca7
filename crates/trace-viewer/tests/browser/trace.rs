//! The page of one trace.

use serde_json::{Value, json};
use test_support::browser::browse;
use thirtyfour::prelude::*;

use crate::support::{Viewer, new_trace, span, with};
use crate::{aside, send_batch};

/// Names in the rows that are in the page.
const NAMES: &str = "[...document.querySelectorAll('#rows .span-name')].map((e) => e.textContent).join()";

/// A trace of so many spans: a root, and steps in groups of ten.
fn send_steps(viewer: &Viewer, count: u64) -> String {
    let trace = new_trace();
    viewer.send("x", &[span(&trace, 1, 0, "all", 0, count)]);
    for first in (2..=count).step_by(2_500) {
        let head = |n| n - (n - 2) % 10;
        let parent = |n| if n == head(n) { 1 } else { head(n) };
        let step = |n| span(&trace, n, parent(n), &format!("step_{n}"), n - 1, n);
        viewer.send("x", &(first..(first + 2_500).min(count + 1)).map(step).collect::<Vec<_>>());
    }
    trace
}

#[test]
fn trace_of_10_000_spans_opens_with_only_the_rows_in_sight() {
    let viewer = Viewer::start(&[]);
    let (small, big) = (send_batch(&viewer, 400), send_steps(&viewer, 10_000));
    browse(true, async |browser| {
        let mut took = Vec::new();
        for (trace, count) in [(&small, 9), (&big, 10_001)] {
            browser.open(&format!("{}/trace/{trace}", viewer.pages)).await?;
            browser.until(&format!("document.querySelector('#treegrid').ariaRowCount === '{count}'")).await?;
            // After the response: this build makes it far slower than a release.
            let drawn = "performance.now() - performance.getEntriesByType('resource').findLast(
                (entry) => entry.name.includes('/view/traces/')).responseEnd";
            took.push(browser.value(drawn).await?.as_f64().unwrap());
        }
        assert!(took[1] < took[0] + 1000.0, "small and big took {took:?} ms");
        let drawn = "document.querySelectorAll('#rows .row').length";
        let rows = browser.value(drawn).await?.as_u64().unwrap();
        assert!((10..100).contains(&rows), "{rows} rows in the page");

        browser.0.execute("scrollTo(0, document.body.scrollHeight / 2)", []).await?;
        let in_sight = "[...document.querySelectorAll('#rows .row')].filter((row) => {
            const { top, bottom } = row.getBoundingClientRect(); return bottom > 0 && top < innerHeight; }).length > 15";
        browser.until(&format!("({in_sight})")).await?;
        assert!(browser.value(drawn).await?.as_u64().unwrap() < 100);
        Ok(())
    });
}

#[test]
fn keys_move_collapse_find_zoom_and_open() {
    let viewer = Viewer::start(&[]);
    let trace = send_batch(&viewer, 400);
    browse(true, async |browser| {
        browser.open(&format!("{}/trace/{trace}", viewer.pages)).await?;
        browser.find("#rows .row").await?;
        browser.0.execute("document.querySelector('#rows .row').focus()", []).await?;
        let focused = "document.activeElement.querySelector('.span-name')?.textContent";
        browser.keys(Key::Down + Key::Down).await?;
        browser.until(&format!("{focused} === 'GET /roll-async' && document.activeElement.ariaLevel === '3'")).await?;
        browser.keys(Key::Left + "").await?;
        browser.until(&format!("{NAMES} === 'GET /roll-async,GET,GET /roll-async'")).await?;
        browser.until("document.activeElement.ariaExpanded === 'false'").await?;
        browser.keys(Key::Right + "").await?;
        browser.until("document.querySelectorAll('#rows .row').length === 8").await?;
        browser.keys(Key::End + "").await?;
        browser.until(&format!("{focused} === 'async_roll_1'")).await?;

        browser.keys(Key::Enter + "").await?;
        browser.until("!document.querySelector('#details').hidden").await?;
        assert_eq!(browser.text("#details h2").await?, "async_roll_1");
        assert!(browser.text("#details").await?.contains("A step within the service."));
        assert_eq!(browser.value("location.hash").await?, "#0000000000000007");
        browser.keys(Key::Escape + "").await?;
        browser.until(&format!("document.querySelector('#details').hidden && {focused} === 'async_roll_1'")).await?;

        browser.keys(Key::Up + "z").await?;
        browser.until("document.querySelector('#range').textContent.endsWith('of 426 ms')").await?;
        browser.keys("0").await?;
        browser.until("document.querySelector('#range').hidden").await?;

        browser.keys("/").await?;
        browser.until("document.activeElement.id === 'find'").await?;
        browser.keys("die-service").await?;
        browser.until("document.querySelector('#found').textContent === '1 of 2 spans'").await?;
        browser.until("document.querySelector('.found-now .span-name').textContent === 'GET'").await?;
        browser.keys(Key::Enter + "").await?;
        browser.until("document.querySelector('.found-now .span-name').textContent === 'GET /dice'").await?;
        assert_eq!(browser.errors().await?, [] as [String; 0]);
        Ok(())
    });
}

#[test]
fn link_to_one_span_opens_it_and_details_never_cover_the_clicked_row() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let linked = json!({"links": [{"traceId": trace, "spanId": format!("{:016x}", 50)}]});
    let step = |n: u64| span(&trace, n, u64::from(n > 1), &format!("step_{n}"), n, 200);
    let mut spans: Vec<Value> = (1..=120).map(step).collect();
    spans[100] = with(spans[100].clone(), linked);
    viewer.send("x", &spans);
    browse(true, async |browser| {
        for width in [1280, 768, 390] {
            browser.width(width).await?;
            browser.open("about:blank").await?;
            browser.open(&format!("{}/trace/{trace}#{:016x}", viewer.pages, 101)).await?;
            browser.until("document.querySelector('#details h2')?.textContent === 'step_101'").await?;
            let covered = "(() => {
                const row = document.querySelector('#rows [aria-selected=true]').getBoundingClientRect();
                const panel = document.querySelector('#details').getBoundingClientRect();
                const inSight = row.top >= 0 && row.bottom <= innerHeight;
                return !inSight || (row.bottom > panel.top && row.right > panel.left);
            })()";
            browser.until(&format!("!{covered}")).await?;
            browser.click("#details .link a").await?;
            browser.until("document.querySelector('#details h2').textContent === 'step_50'").await?;
            browser.until(&format!("!{covered}")).await?;
        }
        Ok(())
    });
}

#[test]
fn span_beyond_the_first_10_000_rows_opens_by_its_address_and_when_it_is_found() {
    let viewer = Viewer::start(&[]);
    let trace = send_steps(&viewer, 20_050);
    let title = "document.querySelector('#details h2')?.textContent";
    let part = "document.querySelector('#part-text').textContent";
    browse(true, async |browser| {
        browser.open(&format!("{}/trace/{trace}#{:016x}", viewer.pages, 20_007)).await?;
        browser.until(&format!("{title} === 'step_20007'")).await?;
        assert_eq!(browser.value(part).await?, "Rows 20,001 to 20,050 of 20,050.");
        browser.click("#earlier").await?;
        browser.until(&format!("{part} === 'Rows 10,001 to 20,000 of 20,050.'")).await?;
        // A link to the same page.
        browser.0.execute(&format!("location.hash = '{:016x}'", 7), []).await?;
        browser.until(&format!("{title} === 'step_7'")).await?;
        assert_eq!(browser.value(part).await?, "Rows 1 to 10,000 of 20,050.");
        browser.find("#find").await?.send_keys("step_20044").await?;
        browser.until("document.querySelector('.found-now .span-name')?.textContent === 'step_20044'").await?;
        browser.0.execute("location.hash = 'abcdef12'", []).await?;
        let state = "document.querySelector('#state').textContent";
        browser.until(&format!("{state}.startsWith('The span 00000000abcdef12, which the address names')")).await?;
        assert_eq!(browser.errors().await?, [] as [String; 0]);
        Ok(())
    });
}

#[test]
fn spans_are_found_by_attributes_events_and_log_lines() {
    let viewer = Viewer::start(&[]);
    let trace = send_batch(&viewer, 400);
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let hidden = json!({"attributes": [text("die.type", "Risky")], "events": [{"name": "permit taken"}]});
    viewer.send("dice-roller", &[with(span(&trace, 9, 3, "other", 16, 17), hidden)]);
    let line = json!({"traceId": trace, "spanId": format!("{:016x}", 6), "body": {"stringValue": "Roll done"},
        "attributes": [text("roll_value", "six")]});
    let message = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [line]}]}]});
    crate::support::post_json(&format!("{}/v1/logs", viewer.otlp), &message);
    browse(true, async |browser| {
        browser.open(&format!("{}/trace/{trace}", viewer.pages)).await?;
        browser.find("#rows .row").await?;
        browser.0.execute("document.querySelector('#rows .row').focus()", []).await?;
        let found = "document.querySelector('#found').textContent";
        let name = "document.querySelector('.found-now .span-name')?.textContent";
        for (text, what, span) in [
            ("RISKY", "1 of 2 spans · die.type = Risky", "other"),
            ("die.type = r", "1 of 1 span · die.type = Risky", "other"),
            ("permit", "1 of 1 span · permit taken", "other"),
            ("roll done", "1 of 1 span · Roll done", "async_roll_0"),
            ("value = six", "1 of 1 span · roll_value = six", "async_roll_0"),
        ] {
            browser.keys("/").await?;
            browser.until("document.activeElement.id === 'find'").await?;
            browser.keys(text).await?;
            browser.until(&format!("{found}.startsWith({what:?}) && {name} === {span:?}")).await?;
            browser.keys(Key::Escape + "").await?;
            browser.until("document.querySelector('#found').hidden").await?;
            browser.0.execute("document.querySelector('#rows .row').focus()", []).await?;
        }
        browser.find("#find").await?.send_keys("nowhere").await?;
        browser.until(&format!("{found} === 'no span has this'")).await?;
        assert_eq!(browser.errors().await?, [] as [String; 0]);
        Ok(())
    });
}

#[test]
fn names_that_differ_at_their_end_are_told_apart_at_768_and_1024() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let long = |n| format!("a name that is much too long for its narrow column and differs only in number {n}");
    viewer.send("x", &(1..=9).map(|n| span(&trace, n, n - 1, &long(n), n, 20)).collect::<Vec<_>>());
    browse(true, async |browser| {
        for width in [768, 1024] {
            browser.width(width).await?;
            browser.open(&format!("{}/trace/{trace}", viewer.pages)).await?;
            browser.until("document.querySelectorAll('#rows .row').length === 9").await?;
            let cut = "[...document.querySelectorAll('#rows .name')].filter((name) =>
                name.querySelector('.tail').getBoundingClientRect().right > name.getBoundingClientRect().right + 1).length";
            assert_eq!(browser.value(cut).await?, 0, "at {width}");
        }
        Ok(())
    });
}

#[test]
fn trace_that_still_arrives_is_marked_and_has_no_critical_path() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let arrived = [span(&trace, 3, 2, "early", 5, 20), span(&trace, 4, 3, "before its parent", 2, 8)];
    viewer.send("x", &arrived);
    browse(true, async |browser| {
        browser.open(&format!("{}/trace/{trace}", viewer.pages)).await?;
        let state = "document.querySelector('#state').textContent";
        browser.until(&format!("{state}.includes('Its root span is missing')")).await?;
        browser.until(&format!("{state}.includes('1 span has a parent that did not arrive')")).await?;
        browser.until(&format!("{state}.includes('Still arriving')")).await?;
        browser.until(&format!("{state}.includes('the clocks of the machines disagree')")).await?;
        let marks = "[...document.querySelectorAll('#rows .state')].map((e) => e.textContent).join()";
        assert_eq!(browser.value(marks).await?, "parent missing,starts 3.00 ms before its parent");
        assert_eq!(browser.value("document.querySelectorAll('#rows .critical-line').length").await?, 0);
        aside(|| viewer.send("x", &[span(&trace, 1, 0, "root", 0, 30), span(&trace, 2, 1, "parent", 1, 25)]));
        browser.until("document.querySelectorAll('#rows .critical-line').length > 0").await
    });
}
