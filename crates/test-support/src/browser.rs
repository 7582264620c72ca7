//! A real browser: headless Chromium, driven by chromedriver (Debian: `apt-get install chromium chromium-driver`).
//!
//! Where there is none, a test prints `SKIPPED: …` and passes; with `REQUIRE_BROWSER=1` it fails instead.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, LoggingPrefsLogLevel};

use crate::{PATIENCE, Process, http, skip};

/// Pause between two looks at the page.
pub const INTERVAL: Duration = Duration::from_millis(50);

/// Starts chromedriver, and returns its address.
fn driver() -> Result<(Process, String), String> {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0");
    let driver = Process::spawn(command).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "chromedriver is not installed".to_owned(),
        _ => format!("chromedriver: {error}"),
    })?;
    let port =
        |line: &str| line.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned());
    let line = driver.wait_for(|line| port(line).is_some());
    Ok((driver, format!("http://127.0.0.1:{}", port(&line).unwrap_or_default())))
}

/// What `visit` returns from its way through the pages; none where there is no browser.
pub fn browse<T>(javascript: bool, visit: impl AsyncFnOnce(&Browser) -> WebDriverResult<T>) -> Option<T> {
    let (_driver, url) = skip::unless(driver(), "REQUIRE_BROWSER")?;
    http::tls();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let started = WebDriver::new(&url, capabilities(javascript).unwrap()).await;
        let started = started.map_err(|error| format!("the browser does not start: {error}"));
        let browser = Browser(skip::unless(started, "REQUIRE_BROWSER")?);
        let seen = visit(&browser).await;
        browser.0.quit().await.unwrap();
        Some(seen.unwrap())
    })
}

fn capabilities(javascript: bool) -> WebDriverResult<ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    for flag in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"] {
        capabilities.add_arg(flag)?;
    }
    if !javascript {
        let off = json!({"profile.managed_default_content_settings.javascript": 2});
        capabilities.add_experimental_option("prefs", off)?;
    }
    capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
    Ok(capabilities)
}

/// A browser with one page.
pub struct Browser(pub WebDriver);

impl Browser {
    /// Goes to an address.
    pub async fn open(&self, url: &str) -> WebDriverResult<()> {
        self.0.goto(url).await
    }

    /// The first element that matches, once it is there.
    pub async fn find(&self, css: &str) -> WebDriverResult<WebElement> {
        self.0.query(By::Css(css)).wait(PATIENCE, INTERVAL).first().await
    }

    /// Clicks on the first element that matches, once it is there.
    pub async fn click(&self, css: &str) -> WebDriverResult<()> {
        self.find(css).await?.click().await
    }

    /// The text of the first element that matches, once it is there.
    pub async fn text(&self, css: &str) -> WebDriverResult<String> {
        self.find(css).await?.text().await
    }

    /// Types into the element that has the focus.
    pub async fn keys(&self, keys: impl Into<TypingData>) -> WebDriverResult<()> {
        self.0.active_element().await?.send_keys(keys).await
    }

    /// The value of a JavaScript expression.
    pub async fn value(&self, expression: &str) -> WebDriverResult<Value> {
        Ok(self.0.execute(format!("return {expression}"), []).await?.json().clone())
    }

    /// Waits until a JavaScript expression is true.
    ///
    /// # Panics
    /// When it does not become true.
    pub async fn until(&self, expression: &str) -> WebDriverResult<()> {
        let began = std::time::Instant::now();
        while self.value(expression).await? != true {
            assert!(began.elapsed() < PATIENCE, "never true: {expression}");
            tokio::time::sleep(INTERVAL).await;
        }
        Ok(())
    }

    /// Gives the page this width in CSS pixels.
    pub async fn width(&self, width: u32) -> WebDriverResult<()> {
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await
    }

    /// Colours: `light` or `dark`, and whether the system forces its own.
    pub async fn colours(&self, scheme: &str, forced: bool) -> WebDriverResult<()> {
        let forced = if forced { "active" } else { "none" };
        let scheme = json!({"name": "prefers-color-scheme", "value": scheme});
        // What still fades in has not its own colours yet.
        let still = json!({"name": "prefers-reduced-motion", "value": "reduce"});
        let features = json!({"features": [scheme, {"name": "forced-colors", "value": forced}, still]});
        self.devtools("Emulation.setEmulatedMedia", features).await
    }

    async fn devtools(&self, command: &str, parameters: Value) -> WebDriverResult<()> {
        self.0.cdp().send_raw(command, parameters).await.map(|_| ())
    }

    /// What the pages wrote to the console as errors; a refused resource is one.
    pub async fn errors(&self) -> WebDriverResult<Vec<String>> {
        let log = self.0.get_log("browser").await?;
        Ok(log.into_iter().filter(|entry| entry.level == "SEVERE").map(|entry| entry.message).collect())
    }

    /// What axe-core finds wrong with the page: the rule, and where.
    pub async fn violations(&self, axe: &str) -> WebDriverResult<Vec<String>> {
        self.0.execute(axe, []).await?;
        let run = "const done = arguments[arguments.length - 1];
            axe.run(document, {resultTypes: ['violations']}).then(
                (found) => done(found.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 200)}`))),
                (error) => done([String(error)]),
            );";
        self.0.execute_async(run, []).await?.convert()
    }
}

/// The text of axe-core, which PyPI's axe-playwright-python carries; none where that is not installed.
pub fn axe() -> Option<String> {
    let path = "import importlib.util, os
spec = importlib.util.find_spec('axe_playwright_python')
print(os.path.join(spec.submodule_search_locations[0], 'axe.min.js') if spec else '')";
    let found = Command::new("python3").args(["-c", path]).output().ok();
    let path = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let missing = "axe-core is not installed (pip install --no-deps axe-playwright-python)";
    skip::unless(std::fs::read_to_string(path).map_err(|_| missing.to_owned()), "REQUIRE_AXE")
}
