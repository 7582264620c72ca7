//! All pages in all sizes and colours.

use test_support::browser::{Browser, axe, browse};
use thirtyfour::prelude::*;

use crate::send_batch;
use crate::support::Viewer;

/// The pages, and an expression that is true when they are drawn.
fn pages(trace: &str, other: &str) -> [(String, &'static str); 6] {
    let rows = "document.querySelectorAll('#rows .row').length > 3";
    [
        ("/?service=o".to_owned(), "document.querySelectorAll('a.trace').length === 2"),
        (format!("/trace/{trace}"), rows),
        (format!("/trace/{trace}#8"), "!document.querySelector('#details').hidden"),
        (format!("/compare/{trace}/{other}"), rows),
        ("/map".to_owned(), "document.querySelectorAll('.map .node').length === 3"),
        ("/glossary".to_owned(), "document.querySelectorAll('td a[id]').length > 20"),
    ]
}

async fn each_look(
    viewer: &Viewer,
    (trace, other): &(String, String),
    browser: &Browser,
    check: impl AsyncFn(&str) -> WebDriverResult<()>,
) -> WebDriverResult<()> {
    for width in [1280, 768, 390] {
        browser.width(width).await?;
        for (scheme, forced) in [("light", false), ("dark", false), ("light", true)] {
            browser.colours(scheme, forced).await?;
            for (path, drawn) in pages(trace, other) {
                browser.open("about:blank").await?;
                browser.open(&format!("{}{path}", viewer.pages)).await?;
                browser.until(drawn).await?;
                check(&format!("{path} at {width}, {scheme}, forced colours: {forced}")).await?;
            }
        }
    }
    Ok(())
}

#[test]
fn every_page_fits_its_width_and_has_no_error() {
    let viewer = Viewer::start(&[]);
    let traces = (send_batch(&viewer, 400), send_batch(&viewer, 1000));
    browse(true, async |browser| {
        each_look(&viewer, &traces, browser, async |look| {
            let fits = browser.value("document.documentElement.scrollWidth <= innerWidth").await?;
            assert_eq!(fits, true, "{look}");
            Ok(())
        })
        .await?;
        assert_eq!(browser.errors().await?, [] as [String; 0]);
        Ok(())
    });
}

#[test]
fn axe_finds_no_violation_on_any_page() {
    let Some(axe) = axe() else { return };
    let viewer = Viewer::start(&[]);
    let traces = (send_batch(&viewer, 400), send_batch(&viewer, 1000));
    browse(true, async |browser| {
        each_look(&viewer, &traces, browser, async |look| {
            assert_eq!(browser.violations(&axe).await?, [] as [String; 0], "{look}");
            Ok(())
        })
        .await
    });
}

/// The contrast between each bar and its background, by WCAG 2.2; of a bar its border or its filling, the better one.
const LEAST_CONTRAST: &str = r"
    const context = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const pixel = (...colours) => {
        context.clearRect(0, 0, 1, 1);
        for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (rgb) => {
        const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (a, b) => {
        const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
        return (light + 0.05) / (dark + 0.05);
    };
    const back = getComputedStyle(document.body).backgroundColor;
    const of = (bar) => {
        const {backgroundColor, borderTopColor, borderTopWidth} = getComputedStyle(bar);
        const filling = contrast(pixel(back, backgroundColor), pixel(back));
        return borderTopWidth === '0px' ? filling : Math.max(filling, contrast(pixel(back, borderTopColor), pixel(back)));
    };
    return Math.min(...[...document.querySelectorAll('.bar, .critical-line, .spark i, .dot')].map(of));";

#[test]
fn bars_have_a_contrast_of_3_to_1_in_all_colours() {
    let viewer = Viewer::start(&[]);
    let (trace, _) = (send_batch(&viewer, 400), send_batch(&viewer, 1000));
    browse(true, async |browser| {
        for (scheme, forced) in [("light", false), ("dark", false), ("light", true), ("dark", true)] {
            browser.colours(scheme, forced).await?;
            for path in [format!("/trace/{trace}"), "/".to_owned()] {
                browser.open(&format!("{}{path}", viewer.pages)).await?;
                browser.find(".bar, .spark i").await?;
                let least = browser.0.execute(LEAST_CONTRAST, []).await?.json().as_f64().unwrap();
                assert!(least >= 3.0, "{path}, {scheme}, forced colours: {forced}: {least}");
            }
        }
        Ok(())
    });
}

#[test]
fn pages_say_without_javascript_what_works_without_it() {
    let viewer = Viewer::start(&[]);
    let trace = send_batch(&viewer, 400);
    browse(false, async |browser| {
        for path in ["/".to_owned(), format!("/trace/{trace}"), format!("/compare/{trace}/{trace}"), "/map".to_owned()]
        {
            browser.open(&format!("{}{path}", viewer.pages)).await?;
            let text = browser.text("body").await?;
            assert!(text.contains("This page needs JavaScript. Without it, "), "{path}: {text}");
            assert!(!text.contains("Looking") && !text.contains("Pause"), "{path}: {text}");
        }
        browser.open(&format!("{}/trace/{trace}", viewer.pages)).await?;
        browser.find("a[href^='/api/traces/']").await?.click().await?;
        assert!(browser.text("body").await?.contains("async_roll_2"));
        Ok(())
    });
}
