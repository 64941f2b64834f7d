//! The provider's process, and users of it.
#![allow(dead_code)] // each test file uses its own part

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

const CHILD: &str = "HIGHWATER_SIGN_IN_CHILD";

/// How many refreshes each of two processes does: more in the acceptance run.
pub(crate) fn rounds() -> u64 {
    std::env::var("HIGHWATER_TEST_REFRESHES").map_or(5, |text| text.parse().unwrap())
}

/// Chromium, where it is installed.
pub(crate) fn browser() -> Option<PathBuf> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        println!("skipped: there is no Chromium on this machine");
    }
    found
}

/// The folder of this file, for tests of any crate.
fn sources() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap();
    root.join("tests/sign_in")
}

/// The scripts beside their packages; `None`, and said so, where these cannot be installed.
fn scripts() -> Option<PathBuf> {
    if std::env::var_os("HIGHWATER_TEST_PROVIDER").is_none() {
        println!("skipped: `cargo xtask acceptance sign-in` runs this, with a provider and a browser");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sign-in");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    // Tests are processes of their own.
    lock.lock().unwrap();
    for entry in fs::read_dir(sources()).unwrap().map(std::result::Result::unwrap) {
        let (text, copy) = (fs::read(entry.path()).unwrap(), folder.join(entry.file_name()));
        // Another test's provider may be starting from it.
        if fs::read(&copy).ok().as_ref() != Some(&text) {
            fs::write(copy, text).unwrap();
        }
    }
    let wanted = fs::read_to_string(folder.join("package.json")).unwrap();
    let installed = folder.join("installed.json");
    if fs::read_to_string(&installed).is_ok_and(|known| known == wanted) {
        return Some(folder);
    }
    let options = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    match Command::new("npm").args(options).current_dir(&folder).output() {
        Ok(output) if output.status.success() => {
            fs::write(installed, wanted).unwrap();
            Some(folder)
        }
        Ok(output) => {
            println!("skipped: npm could not install the provider: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            println!("skipped: there is no npm: {error}");
            None
        }
    }
}

/// The provider, until it is dropped.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    scripts: PathBuf,
    process: Option<Child>,
    users: Mutex<Vec<Child>>,
}

impl Provider {
    /// Starts one whose access tokens last so many seconds.
    pub(crate) fn start(token_seconds: u64) -> Option<Self> {
        Provider::start_with(token_seconds, 60)
    }

    /// The same with codes for other devices that last so many seconds.
    pub(crate) fn start_with(token_seconds: u64, device_seconds: u64) -> Option<Self> {
        let scripts = scripts()?;
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .env("TOKEN_SECONDS", token_seconds.to_string())
            .env("DEVICE_SECONDS", device_seconds.to_string())
            .current_dir(&scripts)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(std::result::Result::unwrap);
        let issuer = lines.find(|line| line.starts_with("http://")).expect("the provider did not start");
        // Nobody reads on: the pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Provider { issuer, scripts, process: Some(process), users: Mutex::default() })
    }

    /// A user without a browser, who signs in and agrees.
    pub(crate) fn agree_later(&self, url: &str) {
        let node =
            Command::new("node").arg("agree.mjs").arg(url).current_dir(&self.scripts).stdout(Stdio::null()).spawn();
        self.users.lock().unwrap().push(node.unwrap());
    }

    /// A user with the link of a connect session, without a browser: `way` is a way of its page, `decision` one of `agree`,
    /// `refuse` and `never`. Returns the status and the text of the last page.
    pub(crate) fn connect(&self, link: &str, way: &str, decision: &str) -> String {
        let mut node = Command::new("node");
        let output = node.arg("connect.mjs").args([link, way, decision]).current_dir(&self.scripts).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A user with a browser.
    pub(crate) fn browse_later(&self, browser: &Path, what: &'static str) -> Browsing {
        let mut node = Command::new("node");
        node.arg("browser.mjs").arg(browser).current_dir(&self.scripts).stdout(Stdio::piped());
        Browsing { node: Mutex::new((node, what, None)) }
    }

    /// Sends a request: its first line, further header lines and a body. Returns the status and the answer's body.
    pub(crate) fn request(&self, first: &str, headers: &str, body: &str) -> (u16, String) {
        let address = self.issuer.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        write!(stream, "{first} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn counts(&self) -> serde_json::Value {
        serde_json::from_str(&self.request("GET /counts", "", "").1).unwrap()
    }

    /// Refresh tokens that were taken.
    pub(crate) fn refreshes(&self) -> u64 {
        self.counts()["refreshes"].as_u64().unwrap()
    }

    /// What the token endpoint complained of.
    pub(crate) fn errors(&self) -> Vec<String> {
        serde_json::from_value(self.counts()["errors"].clone()).unwrap()
    }

    /// Another process that runs one test of this file.
    pub(crate) fn spawn_child(&self, test: &str, folder: &Path) -> Child {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", test, "--nocapture"]).env(CHILD, format!("{}\n{}", self.issuer, folder.display()));
        child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// In a process that [`Provider::spawn_child`] began.
pub(crate) fn child() -> Option<(Provider, PathBuf)> {
    let text = std::env::var(CHILD).ok()?;
    let (issuer, folder) = text.split_once('\n').unwrap();
    Some((
        Provider { issuer: issuer.to_owned(), scripts: PathBuf::new(), process: None, users: Mutex::default() },
        PathBuf::from(folder),
    ))
}

impl Drop for Provider {
    fn drop(&mut self) {
        for process in self.users.get_mut().unwrap().iter_mut().chain(&mut self.process) {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// A browser that is started once there is an address.
pub(crate) struct Browsing {
    node: Mutex<(Command, &'static str, Option<Child>)>,
}

impl Browsing {
    pub(crate) fn begin(&self, url: &str) {
        let mut guard = self.node.lock().unwrap();
        let (node, what, process) = &mut *guard;
        *process = Some(node.arg(url).arg(*what).spawn().unwrap());
    }

    /// What the last page said, once the browser is closed.
    pub(crate) fn page(&self) -> String {
        let process = loop {
            match self.node.lock().unwrap().2.take() {
                Some(process) => break process,
                None => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        };
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "the browser failed");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
