//! The application as a process, and its window by WebDriver.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `look` finds something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub enum Look {
    Light,
    Dark,
}

/// The running application. Killed when dropped.
pub struct Application {
    child: Child,
    base: String,
    session: String,
    agent: ureq::Agent,
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The application's command, with its store in `data`.
pub fn command(data: &Path, demo: &str, port: u16, look: Look) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater-desktop"));
    command
        .env("HIGHWATER_DEMO_DATA", data)
        .env("HIGHWATER_DEMO_URL", demo)
        .env("TAURI_WEBDRIVER_PORT", port.to_string())
        .env("XDG_DATA_HOME", data)
        .env("XDG_CACHE_HOME", data)
        .env(
            "GTK_THEME",
            match look {
                Look::Light => "Adwaita",
                Look::Dark => "Adwaita:dark",
            },
        )
        // A screen without a graphics card; tests may run as root.
        .env("WEBKIT_DISABLE_DMABUF_RENDERER", "1")
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env("NO_AT_BRIDGE", "1")
        .env("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1")
        .stderr(Stdio::null());
    command
}

impl Application {
    pub fn start(data: &Path, demo: &str, look: Look) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = command(data, demo, port, look).spawn().unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .build()
            .new_agent();
        let mut application =
            Application { child, base: format!("http://127.0.0.1:{port}"), session: String::new(), agent };
        let capabilities = json!({"capabilities": {"alwaysMatch": {}}});
        application.session = until("a WebDriver session", || {
            let answer = application.send("POST", "/session", Some(&capabilities)).ok()?;
            Some(answer["sessionId"].as_str()?.to_owned())
        });
        until("the page", || application.script("return document.body.dataset.ready ?? null").as_str().map(drop));
        application
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.base);
        let answer = match (method, body) {
            ("POST", body) => self
                .agent
                .post(url)
                .header("content-type", "application/json")
                .send(body.unwrap_or(&json!({})).to_string().as_bytes()),
            ("DELETE", _) => self.agent.delete(url).call(),
            _ => self.agent.get(url).call(),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text =
            answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if value["value"]["error"].is_string() { Err(text) } else { Ok(value["value"].clone()) }
    }

    fn in_session(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.send(method, &path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn script(&self, script: &str) -> Value {
        self.in_session("POST", "/execute/sync", Some(&json!({"script": script, "args": []})))
    }

    pub fn text(&self, selector: &str) -> String {
        let text = self.script(&format!("return document.querySelector({})?.textContent ?? ''", json!(selector)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The number of contacts that the table's tab names, however the locale groups its digits.
    pub fn contacts_shown(&self) -> u64 {
        let text = self.text(r#"[data-model="Contact"]"#);
        text.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or_default()
    }

    pub fn is_shown(&self, selector: &str) -> bool {
        let shown = "e => e !== null && e.checkVisibility()";
        self.script(&format!("return ({shown})(document.querySelector({}))", json!(selector))) == true
    }

    /// Clicks an element as a user does: it must be there, and shown. One that was drawn anew meanwhile is looked for again.
    pub fn click(&self, selector: &str) {
        until(selector, || {
            let path = format!("/session/{}/element", self.session);
            let body = json!({"using": "css selector", "value": selector});
            let found = self.send("POST", &path, Some(&body)).ok()?;
            let element = found.as_object()?.values().next()?.as_str()?;
            self.send("POST", &format!("{path}/{element}/click"), None).ok()
        });
    }

    pub fn resize(&self, width: u32, height: u32) {
        self.in_session("POST", "/window/rect", Some(&json!({"x": 0, "y": 0, "width": width, "height": height})));
        until("the window's new size", || (self.script("return innerWidth") == width).then_some(()));
    }

    pub fn picture(&self, file: &Path) {
        let picture = self.in_session("GET", "/screenshot", None);
        std::fs::write(file, STANDARD.decode(picture.as_str().unwrap()).unwrap()).unwrap();
    }

    /// Closes the window, and waits for the end of the process.
    pub fn quit(mut self) -> ExitStatus {
        // The answer may not arrive any more.
        let _ = self.send("DELETE", &format!("/session/{}/window", self.session), None);
        until("the end of the process", || self.child.try_wait().unwrap())
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
