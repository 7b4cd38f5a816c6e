//! A headless Chromium, spoken to in WebDriver's JSON (<https://www.w3.org/TR/webdriver2/>).

use angarium_suite::{GUARD, caller::client_without_pool, eventually, note, skip};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

const CHROMIUM: &str = "/usr/bin/chromium";
const CHROMEDRIVER: &str = "/usr/bin/chromedriver";
/// The member that holds an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser at a time: several at once only wait for each other.
static TURN: Mutex<()> = Mutex::const_new(());
/// Starting a browser is not what is tested: it may fail this often.
const STARTS: usize = 3;

/// One browser with one page, killed on drop.
pub struct Browser {
    driver: Child,
    http: reqwest::Client,
    session: String,
    /// The browser's process.
    pid: Option<u64>,
    // Last: the browser is dead when its profile goes, and the next one may come.
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// A browser on an empty page; `None` where there is none, which has been said then.
    pub async fn start() -> Option<Browser> {
        if !Path::new(CHROMIUM).exists() || !Path::new(CHROMEDRIVER).exists() {
            skip("chromium and chromedriver are not installed");
            return None;
        }
        for _ in 0..STARTS {
            match Browser::try_start().await {
                Ok(browser) => return Some(browser),
                Err(why) => note(&format!("the browser did not start: {why}")),
            }
        }
        panic!("the browser did not start in {STARTS} attempts");
    }

    async fn try_start() -> Result<Browser, String> {
        let turn = TURN.lock().await;
        let profile = TempDir::with_prefix("angarium-suite-browser-").expect("temporary folders can be made");
        let mut driver = Command::new(CHROMEDRIVER)
            .arg("--port=0")
            .envs([("HOME", profile.path()), ("TMPDIR", profile.path())])
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver can be started");
        let port = port_of(&mut driver);
        let mut browser = Browser {
            driver,
            http: client_without_pool(),
            session: format!("http://127.0.0.1:{port}/session"),
            pid: None,
            _profile: profile,
            _turn: turn,
        };
        let data = browser._profile.path().join("profile");
        let arguments: Vec<String> = ARGUMENTS
            .iter()
            .map(|argument| argument.to_string())
            .chain([format!("--user-data-dir={}", data.display())])
            .collect();
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
        }}});
        let made = browser.try_call("", &wanted).await?;
        let id = made["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/{id}", browser.session);
        browser.pid = made["capabilities"]["goog:processID"].as_u64();
        assert!(browser.pid.is_some(), "the driver does not say which process the browser is: {made}");
        Ok(browser)
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.call("/url", &json!({"url": url})).await;
    }

    /// What a script returns that runs in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", &json!({"script": script, "args": []})).await
    }

    /// The text of the one element that a CSS selector names; empty if there is none.
    pub async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.textContent ?? ''", json!(selector));
        self.run(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// How many elements there are.
    pub async fn count(&self, selector: &str) -> u64 {
        let script = format!("return document.querySelectorAll({}).length", json!(selector));
        self.run(&script).await.as_u64().unwrap_or_default()
    }

    /// Clicks as a user does: on what is visible and not covered.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.call(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Empties a field and types into it.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.call(&format!("/element/{element}/clear"), &json!({})).await;
        self.call(&format!("/element/{element}/value"), &json!({"text": text})).await;
    }

    /// Waits until an element has this text.
    pub async fn shows(&self, selector: &str, wanted: &str) {
        let what = format!("{selector} shows {wanted:?}");
        eventually(&what, async || (self.text(selector).await == wanted).then_some(())).await;
    }

    /// What a command of the DevTools protocol answers (<https://chromedevtools.github.io/devtools-protocol/>).
    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        self.call("/goog/cdp/execute", &json!({"cmd": command, "params": params})).await
    }

    /// Makes the page as wide as a phone is, with a finger to touch it.
    pub async fn be_a_phone(&self, width: u32) {
        let screen = json!({"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": true});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        self.devtools("Emulation.setTouchEmulationEnabled", json!({"enabled": true})).await;
    }

    /// What the page holds once its garbage is gone: bytes of its script's heap, and nodes of its document.
    pub async fn held(&self) -> (u64, u64) {
        self.devtools("HeapProfiler.collectGarbage", json!({})).await;
        let heap = self.devtools("Runtime.getHeapUsage", json!({})).await;
        let counts = self.devtools("Memory.getDOMCounters", json!({})).await;
        let number = |of: &Value| of.as_f64().unwrap_or_else(|| panic!("{heap} {counts}")) as u64;
        (number(&heap["usedSize"]), number(&counts["nodes"]))
    }

    async fn find(&self, selector: &str) -> String {
        let found = self.call("/element", &json!({"using": "css selector", "value": selector})).await;
        found[ELEMENT].as_str().expect("an element has an id").to_owned()
    }

    async fn call(&self, command: &str, body: &Value) -> Value {
        self.try_call(command, body).await.unwrap_or_else(|why| panic!("{why}"))
    }

    async fn try_call(&self, command: &str, body: &Value) -> Result<Value, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{command} {body}: {error}");
        let url = format!("{}{command}", self.session);
        let request = self.http.post(url).timeout(GUARD).body(body.to_string());
        let answer = request.send().await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| failed(&error))?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        if status.is_success() { Ok(answer["value"].take()) } else { Err(failed(&answer)) }
    }
}

const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1600",
];

/// The free port that the driver says it took.
fn port_of(driver: &mut Child) -> u16 {
    let stdout = driver.stdout.take().expect("it was piped");
    let (sender, ports) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let said = line.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.'));
            if let Some(port) = said.and_then(|port| port.parse().ok()) {
                // Whoever waits no longer has failed already.
                let _ = sender.send(port);
            }
        }
    });
    ports.recv_timeout(GUARD).expect("chromedriver says which port it took")
}

impl Browser {
    /// Closes the browser, which takes its helpers and its temporary files with it.
    fn close(&self) -> std::io::Result<()> {
        let rest = self.session.strip_prefix("http://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or_default();
        let mut driver = TcpStream::connect(host)?;
        driver.set_read_timeout(Some(GUARD))?;
        write!(driver, "DELETE /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        driver.read_exact(&mut answer)?;
        if answer.ends_with(b" 200") { Ok(()) } else { Err(std::io::ErrorKind::Other.into()) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let (Err(_), Some(pid)) = (self.close(), self.pid) {
            let _ = Command::new("sh").args(["-c", "kill -KILL $0", &pid.to_string()]).status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
