//! What a person sees: fill the form, roll, follow "View trace", and the five bars overlap on the screen.
//!
//! Needs chromium and chromedriver (Debian: `apt-get install chromium chromium-driver`). Without them the tests say
//! `SKIPPED: …` and pass; with `REQUIRE_BROWSER=1` they fail instead.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

#[path = "common/mod.rs"]
mod common;

use serde_json::{Value, json};
use test_support::browser::INTERVAL;
use test_support::{PATIENCE, eventually, http};
use thirtyfour::BrowserLogEntry;
use thirtyfour::prelude::*;

use common::launch;

/// What `visit` returns from its way through the pages; none where there is no browser.
fn browse<T>(javascript: bool, visit: impl AsyncFnOnce(&WebDriver) -> WebDriverResult<T>) -> Option<T> {
    test_support::browser::browse(javascript, async |browser| visit(&browser.0).await)
}

/// What the page shows of a roll.
struct Rolled {
    faces: Vec<String>,
    total: String,
    trace_id: String,
    link: String,
}

/// Fills the form for `times` dice at once, rolls, and reads the result.
async fn roll(browser: &WebDriver, page: &str, times: usize) -> WebDriverResult<Rolled> {
    browser.goto(page).await?;
    wait_for(browser, "#die option[value='fair']").await?.click().await?;
    wait_for(browser, "#async").await?.click().await?;
    let field = browser.query(By::Css("#times")).wait(PATIENCE, INTERVAL).and_enabled().first().await?;
    field.clear().await?;
    field.send_keys(times.to_string()).await?;
    wait_for(browser, "#roll").await?.click().await?;

    wait_for(browser, &format!("#result li:nth-child({times}) .die[data-value]")).await?;
    let mut faces = Vec::new();
    for die in browser.find_all(By::Css("#result .die[data-value]")).await? {
        faces.push(die.attr("data-value").await?.unwrap_or_default());
    }
    let link = wait_for(browser, "a#view-trace").await?;
    Ok(Rolled {
        faces,
        total: wait_for(browser, "#total").await?.text().await?,
        trace_id: wait_for(browser, "#trace-id").await?.text().await?,
        link: link.prop("href").await?.unwrap_or_default(),
    })
}

async fn wait_for(browser: &WebDriver, css: &str) -> WebDriverResult<WebElement> {
    browser.query(By::Css(css)).wait(PATIENCE, INTERVAL).first().await
}

impl Rolled {
    /// `times` dice, each with a face, and their sum.
    fn check(&self, times: usize) {
        let faces: Vec<i64> = self.faces.iter().map(|face| face.parse().unwrap()).collect();
        assert_eq!(faces.len(), times);
        assert!(faces.iter().all(|face| (1..=6).contains(face)), "{faces:?}");
        assert_eq!(self.total, faces.iter().sum::<i64>().to_string());
    }
}

#[test]
fn click_leads_to_overlapping_bars() {
    // With this seed the shortest of the five rolls takes half a second, so that all bars are wide.
    let (_launcher, ports) = launch(&[("ROLL_SEED", "3")]);
    let seen = browse(true, async |browser| {
        let rolled = roll(browser, &ports.frontend(), 5).await?;
        let mut errors = severe(browser.get_log("browser").await?);
        wait_for(browser, "a#view-trace").await?.click().await?;

        wait_for(browser, "body[data-complete='true']").await?;
        let bars = browser.query(By::Css(".bar[data-name^='async_roll_']")).wait(PATIENCE, INTERVAL);
        let mut places = Vec::new();
        for bar in bars.all_from_selector_required().await? {
            let place = bar.rect().await?;
            places.push((bar.attr("data-name").await?.unwrap_or_default(), place.x, place.x + place.width));
        }
        let text = async |css| wait_for(browser, css).await?.text().await;
        let story = (text("#verdict").await?, text("#speedup").await?, text("#peak-concurrency").await?);
        errors.extend(severe(browser.get_log("browser").await?));
        let url = browser.current_url().await?.to_string();
        Ok((rolled, places, story, errors, url))
    });
    let Some((rolled, places, (verdict, speedup, peak), errors, url)) = seen else { return };

    rolled.check(5);
    assert_eq!(url, format!("{}/trace/{}", ports.viewer(), rolled.trace_id));
    assert_eq!(rolled.link, url);
    assert_eq!(errors, [] as [String; 0]);

    let mut names: Vec<_> = places.iter().map(|(name, ..)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["async_roll_0", "async_roll_1", "async_roll_2", "async_roll_3", "async_roll_4"]);
    let last_left = places.iter().map(|(_, left, _)| *left).fold(f64::MIN, f64::max);
    let first_right = places.iter().map(|(.., right)| *right).fold(f64::MAX, f64::min);
    // By far more than a bar's rounded corner.
    assert!(last_left + 100.0 < first_right, "the bars do not overlap: {places:?}");
    assert!(verdict.contains("5 rolls"), "{verdict}");
    assert!(speedup.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<f64>().unwrap() > 1.0, "{speedup}");
    assert_eq!(peak, "5");
}

#[test]
fn form_rolls_without_javascript() {
    let (_launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "0")]);
    let seen = browse(false, async |browser| {
        let rolled = roll(browser, &ports.frontend(), 3).await?;
        Ok((rolled, browser.current_url().await?.to_string(), severe(browser.get_log("browser").await?)))
    });
    let Some((rolled, url, errors)) = seen else { return };

    // The form was submitted, so no script did it.
    assert!(url.contains("die=fair&async=on&times=3"), "{url}");
    assert_eq!(errors, [] as [String; 0]);
    rolled.check(3);
    assert_eq!(rolled.link, format!("{}/trace/{}", ports.viewer(), rolled.trace_id));
    let trace = format!("{}/api/traces/{}", ports.viewer(), rolled.trace_id);
    eventually("the last roll's span in the viewer", || {
        http::get(&trace).text().contains("async_roll_2").then_some(())
    });
}

/// One picture of "Roll both ways": what was rolled, and where each bar begins and ends on the screen.
async fn picture(browser: &WebDriver, id: &str) -> WebDriverResult<(Vec<String>, Vec<(f64, f64)>)> {
    let (mut faces, mut places) = (Vec::new(), Vec::new());
    for row in browser.find_all(By::Css(format!("#{id} .bar"))).await? {
        faces.push(row.find(By::Css(".face")).await?.text().await?);
        let bar = row.find(By::Css("rect")).await?.rect().await?;
        places.push((bar.x, bar.x + bar.width));
    }
    Ok((faces, places))
}

/// The same faces in both pictures; on one axis, overlapping in the first and a staircase in the second.
fn check_pictures(at_once: &(Vec<String>, Vec<(f64, f64)>), sequential: &(Vec<String>, Vec<(f64, f64)>), times: usize) {
    assert_eq!((at_once.0.len(), &at_once.0), (times, &sequential.0));
    // On a busy machine a roll begins and ends late; by far less than a sixth of the axis, which is the sum of all.
    let axis = sequential.1[times - 1].1 - sequential.1[0].0;
    let near = |a: f64, b: f64| (a - b).abs() < axis / 6.0;
    assert!(at_once.1.iter().all(|(left, _)| near(*left, sequential.1[0].0)), "{at_once:?}");
    for pair in sequential.1.windows(2) {
        // The border of a bar, and its least width, are pixels beyond what it stands for.
        assert!(pair[1].0 > pair[0].1 - 4.0 && near(pair[0].1, pair[1].0), "{sequential:?}");
    }
    for ((left, right), (from, to)) in at_once.1.iter().zip(&sequential.1) {
        assert!(near(right - left, to - from), "the same roll has the same width: {at_once:?} {sequential:?}");
    }
}

#[test]
fn both_ways_are_drawn_on_one_axis_and_lead_to_the_comparison() {
    let (_launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "600")]);
    let seen = browse(true, async |browser| {
        browser.goto(&ports.frontend()).await?;
        wait_for(browser, "#die option[value='fair']").await?.click().await?;
        wait_for(browser, "#both").await?.click().await?;
        wait_for(browser, "#comparison:not([hidden])").await?;
        let pictures = (picture(browser, "at-once").await?, picture(browser, "sequential").await?);
        let gain = wait_for(browser, "#gain").await?.text().await?;
        let link = wait_for(browser, "#compare").await?.prop("href").await?.unwrap_or_default();
        let errors = severe(browser.get_log("browser").await?);

        let tools = browser.cdp();
        let phone = json!({"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        tools.send_raw("Emulation.setDeviceMetricsOverride", phone).await?;
        let forced = json!({"features": [{"name": "forced-colors", "value": "active"}]});
        tools.send_raw("Emulation.setEmulatedMedia", forced).await?;
        let script = "const style = (css) => getComputedStyle(document.querySelector(css));
            const { scrollWidth, clientWidth } = document.documentElement;
            return [scrollWidth - clientWidth, style('.bar rect').stroke, style('body').color]";
        let small: (u32, String, String) = browser.execute(script, Vec::new()).await?.convert()?;
        Ok((pictures, gain, link, errors, small))
    });
    let Some((pictures, gain, link, errors, (beyond, bar, text))) = seen else { return };

    check_pictures(&pictures.0, &pictures.1, 5);
    assert!(gain.starts_with("The same 5 rolls: one after the other ") && gain.ends_with(" times faster."), "{gain}");
    assert_eq!(errors, [] as [String; 0]);
    assert_eq!(beyond, 0, "it scrolls sideways on a phone");
    assert_eq!(bar, text, "in forced colours bars have the colour of text");
    let ids = link.strip_prefix(&format!("{}/compare/", ports.viewer())).unwrap_or_else(|| panic!("{link}"));
    for (id, concurrency) in ids.split('/').zip(["1", "5"]) {
        let trace = format!("{}/api/traces/{id}", ports.viewer());
        let spans = eventually("the last roll's span in the viewer", || {
            Some(http::get(&trace).text())
                .filter(|text| text.contains("async_roll_4") && text.contains("async.concurrency"))
        });
        let (_, value) = spans.split_once("async.concurrency").unwrap();
        assert!(value.split_once('}').unwrap().0.contains(&format!("\"{concurrency}\"")), "first one after the other");
    }
}

#[test]
fn way_that_is_refused_is_said_in_words_beside_the_other() {
    let (_launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "0"), ("RATE_LIMIT_PER_SECOND", "7")]);
    let seen = browse(true, async |browser| {
        browser.goto(&ports.frontend()).await?;
        wait_for(browser, "#both:not([disabled])").await?.click().await?;
        let problem = wait_for(browser, ".problem:not(:empty)").await?.text().await?;
        let done = "#result[aria-busy='false']";
        wait_for(browser, done).await?;
        let drawn = browser.find_all(By::Css(".bar rect")).await?.len();
        let gain = wait_for(browser, "#gain").await?.text().await?;
        let compare = wait_for(browser, "#comparison").await?.is_displayed().await?;
        Ok((problem, drawn, gain, compare))
    });
    let Some((problem, drawn, gain, compare)) = seen else { return };
    assert_eq!(problem, "Too many requests from this address; allowed: 7 rolls a second");
    assert_eq!((drawn, compare), (5, false));
    assert!(gain.starts_with("Only one of the two ways could be rolled"), "{gain}");
}

#[test]
fn both_ways_are_drawn_without_javascript() {
    let (_launcher, ports) = launch(&[("ROLL_DELAY_MAX_MS", "600")]);
    let seen = browse(false, async |browser| {
        browser.goto(&ports.frontend()).await?;
        wait_for(browser, "#die option[value='fair']").await?.click().await?;
        wait_for(browser, "#both").await?.click().await?;
        wait_for(browser, "#sequential .bar").await?;
        let pictures = (picture(browser, "at-once").await?, picture(browser, "sequential").await?);
        let link = wait_for(browser, "#comparison #compare").await?.prop("href").await?.unwrap_or_default();
        let gain = wait_for(browser, "#gain").await?.text().await?;
        Ok((pictures, gain, browser.current_url().await?.to_string(), link))
    });
    let Some((pictures, gain, url, link)) = seen else { return };
    // The page needs script; what it draws is at the same address below /view.
    let compared = link.replacen("/compare/", "/view/compare/", 1);
    let sentence = eventually("both batches in the viewer", || {
        let compared: Value = serde_json::from_str(&http::get(&compared).text()).ok()?;
        compared["sentence"].as_str().filter(|sentence| sentence.contains("times faster")).map(str::to_owned)
    });
    assert!(sentence.starts_with("The same 5 rolls: one after the other "), "{sentence}");
    assert!(url.contains("both=on"), "{url}");
    check_pictures(&pictures.0, &pictures.1, 5);
    assert!(gain.starts_with("The same 5 rolls: one after the other ") && gain.ends_with(" times faster."), "{gain}");
}

fn severe(log: Vec<BrowserLogEntry>) -> Vec<String> {
    log.into_iter().filter(|entry| entry.level == "SEVERE").map(|entry| entry.message).collect()
}
