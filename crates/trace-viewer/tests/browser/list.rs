//! The list of traces.

use serde_json::json;
use test_support::browser::browse;
use thirtyfour::prelude::*;

use crate::support::{Viewer, new_trace, post_json, span, traces};
use crate::{aside, send_batch};

/// Names of the traces listed.
const LISTED: &str = "[...document.querySelectorAll('.trace-name')].map((e) => e.textContent).join()";

fn viewer_with_three() -> (Viewer, [String; 3]) {
    let viewer = Viewer::start(&[]);
    let (home, roll) = (new_trace(), new_trace());
    viewer.send("frontend", &[span(&home, 1, 0, "GET /", 0, 2)]);
    viewer.send("shop", &[span(&roll, 1, 0, "GET /roll", 100, 150)]);
    let batch = send_batch(&viewer, 400);
    (viewer, [home, roll, batch])
}

#[test]
fn filters_live_in_the_address_and_a_trace_comes_back_to_them() {
    let (viewer, [.., batch]) = viewer_with_three();
    browse(true, async |browser| {
        browser.open(&viewer.pages).await?;
        browser.until(&format!("{LISTED} === 'GET /roll shop,GET / frontend,GET /roll-async frontend'")).await?;
        browser.click("#hide").await?;
        browser.until(&format!("{LISTED} === 'GET /roll shop,GET /roll-async frontend'")).await?;
        browser.find("#service").await?.send_keys("DICE").await?;
        browser.until(&format!("{LISTED} === 'GET /roll-async frontend'")).await?;
        browser.until("location.search === '?hide=1&service=DICE'").await?;
        browser.find("#min").await?.send_keys("1 parsec").await?;
        browser.until("document.querySelector('#problem').textContent.includes('1 parsec')").await?;
        browser.find("#min").await?.clear().await?;
        browser.until("document.querySelector('#problem').hidden").await?;

        browser.click("a.trace").await?;
        browser.find("#rows .row").await?;
        assert!(browser.0.current_url().await?.path().ends_with(&batch));
        browser.click("nav .back").await?;
        browser.until(&format!("{LISTED} === 'GET /roll-async frontend'")).await?;
        assert_eq!(browser.value("location.search").await?, "?hide=1&service=DICE");
        browser.until("document.activeElement.matches('a.trace')").await?;
        assert_eq!(browser.value("document.querySelector('#service').value").await?, "DICE");
        assert_eq!(browser.errors().await?, [] as [String; 0]);
        Ok(())
    });
}

#[test]
fn field_takes_a_trace_id_or_traceql() {
    let (viewer, [.., batch]) = viewer_with_three();
    browse(true, async |browser| {
        browser.open(&viewer.pages).await?;
        let field = browser.find("#q").await?;
        field.send_keys(r#"{ resource.service.name = "shop" }"#).await?;
        browser.keys(Key::Enter).await?;
        browser.until(&format!("{LISTED} === 'GET /roll shop'")).await?;
        assert!(browser.0.current_url().await?.query().is_some_and(|query| query.starts_with("q=")));
        field.clear().await?;
        field.send_keys("{ no query").await?;
        browser.keys(Key::Enter).await?;
        browser.until("document.querySelector('#problem').textContent.startsWith('The query is not valid')").await?;
        field.clear().await?;
        field.send_keys(format!(" 00-{batch}-00000000000000aa-01")).await?;
        browser.keys(Key::Enter).await?;
        browser.until(&format!("location.pathname === '/trace/{batch}'")).await
    });
}

#[test]
fn two_ticked_traces_lead_to_their_comparison() {
    let (viewer, [home, roll, batch]) = viewer_with_three();
    browse(true, async |browser| {
        browser.open(&viewer.pages).await?;
        let tick = async |id: &str| browser.click(&format!("input[data-id='{id}']")).await;
        tick(&roll).await?;
        browser.until("document.querySelector('#compare-link').hidden").await?;
        tick(&home).await?;
        let link = "document.querySelector('#compare-link').pathname";
        browser.until(&format!("{link} === '/compare/{home}/{roll}'")).await?;
        tick(&batch).await?;
        browser.until(&format!("{link} === '/compare/{home}/{batch}'")).await?;
        browser.until("document.querySelectorAll('.tick :checked').length === 2").await
    });
}

#[test]
fn paused_list_stays_and_cleared_list_shows_only_what_is_newer() {
    let (viewer, _) = viewer_with_three();
    browse(true, async |browser| {
        browser.open(&viewer.pages).await?;
        browser.find("a.trace").await?;
        browser.click("#pause").await?;
        aside(|| viewer.send("frontend", &[span(&new_trace(), 1, 0, "later", 5000, 5001)]));
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(browser.value("document.querySelectorAll('a.trace').length").await?, 3);
        browser.click("#pause").await?;
        browser.until("document.querySelectorAll('a.trace').length === 4").await?;
        browser.click("#clear").await?;
        browser.until("document.querySelectorAll('a.trace').length === 0").await?;
        aside(|| viewer.send("frontend", &[span(&new_trace(), 1, 0, "newest", 6000, 6001)]));
        browser.until(&format!("{LISTED} === 'newest frontend'")).await?;
        browser.click("#uncleared").await?;
        browser.until("document.querySelectorAll('a.trace').length === 5").await
    });
}

#[test]
fn empty_list_says_that_the_viewer_does_not_respond() {
    let viewer = Viewer::start(&[]);
    browse(true, async |browser| {
        browser.open(&viewer.pages).await?;
        browser.until("!document.querySelector('#empty').hidden").await?;
        viewer.signal(test_support::Signal::SIGKILL);
        browser.until("document.querySelector('#problem').textContent.includes('does not respond')").await?;
        assert!(browser.find("#problem").await?.is_displayed().await?);
        Ok(())
    });
}

#[test]
fn list_says_once_that_metrics_are_dropped() {
    let viewer = Viewer::start(&[]);
    browse(true, async |browser| {
        browser.open(&viewer.pages).await?;
        browser.until("!document.querySelector('#empty').hidden").await?;
        assert_eq!(browser.value("document.querySelector('#metrics').hidden").await?, true);
        aside(|| post_json(&format!("{}/v1/metrics", viewer.otlp), &json!({})));
        browser.until("!document.querySelector('#metrics').hidden").await?;
        assert!(browser.text("#metrics").await?.contains("OTEL_METRICS_EXPORTER=none"));
        Ok(())
    });
}

#[test]
fn file_that_is_dropped_or_chosen_opens_and_a_wrong_one_is_refused() {
    let viewer = Viewer::start(&[]);
    let trace = new_trace();
    let mut file = traces("elsewhere", &[span(&trace, 1, 0, "GET /far", 0, 20)]);
    let line = json!({"traceId": trace, "spanId": format!("{:016x}", 1), "body": {"stringValue": "Far away"}});
    file["resourceLogs"] = json!([{"scopeLogs": [{"logRecords": [line]}]}]);
    let folder = std::env::temp_dir().join(&trace);
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("trace.json");
    std::fs::write(&path, file.to_string()).unwrap();
    browse(true, async |browser| {
        browser.open(&viewer.pages).await?;
        browser.until("!document.querySelector('#filters').hidden").await?;
        let drop = "const [text] = arguments;
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], 'dropped.json'));
            document.body.dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true, cancelable: true}));";
        browser.0.execute(drop, vec![json!("{}")]).await?;
        browser
            .until("document.querySelector('#problem').textContent.startsWith('dropped.json was not opened')")
            .await?;
        browser.0.execute(drop, vec![json!(file.to_string())]).await?;
        browser.until(&format!("location.pathname === '/trace/{trace}'")).await?;
        browser.until("document.querySelector('#title').textContent === 'GET /far'").await?;
        browser.click("#rows .row").await?;
        browser.until("document.querySelector('#details').textContent.includes('Far away')").await?;
        browser.open(&viewer.pages).await?;
        browser.until("!document.querySelector('#filters').hidden").await?;
        browser.find("#file").await?.send_keys(path.to_str().unwrap()).await?;
        browser.until(&format!("location.pathname === '/trace/{trace}'")).await
    });
    std::fs::remove_dir_all(&folder).unwrap();
}
