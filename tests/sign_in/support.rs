//! The provider's process, users of it, and an application with one connection.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use highwater::engine::{ConnectionSettings, Engine, RunOptions};
use highwater::template::async_trait::async_trait;
use highwater::template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater::template::{HttpRequest, Provider as ProviderInfo, SyncContext, Template, TemplateInfo};
use highwater::vault::{KeyFile, Vault};
use highwater::{Result, SqliteStore, Store};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sign_in");
const CHILD: &str = "HIGHWATER_SIGN_IN_CHILD";

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

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
    for entry in fs::read_dir(SCRIPTS).unwrap().map(std::result::Result::unwrap) {
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
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
    issuer: String,
    scripts: PathBuf,
    process: Option<Child>,
    users: Mutex<Vec<Child>>,
}

impl Provider {
    /// Starts one whose access tokens last so many seconds.
    pub(crate) fn start(token_seconds: u64) -> Option<Self> {
        let scripts = scripts()?;
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .env("TOKEN_SECONDS", token_seconds.to_string())
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

    pub(crate) fn oauth(&self) -> OAuth2 {
        let url = |path: &str| format!("{}{path}", self.issuer);
        OAuth2::new(url("/auth"), url("/token"), DesktopSignIn::PkcePublic)
            .device_url(url("/device/auth"))
            .revocation_url(url("/token/revocation"))
            .authorize_parameter("prompt", "consent")
    }

    /// A user without a browser, who signs in and agrees.
    pub(crate) fn agree_later(&self, url: &str) {
        let node =
            Command::new("node").arg("agree.mjs").arg(url).current_dir(&self.scripts).stdout(Stdio::null()).spawn();
        self.users.lock().unwrap().push(node.unwrap());
    }

    /// A user with a browser.
    pub(crate) fn browse_later(&self, browser: &Path, what: &'static str) -> Browsing {
        let mut node = Command::new("node");
        node.arg("browser.mjs").arg(browser).current_dir(&self.scripts).stdout(Stdio::piped());
        Browsing { node: Mutex::new((node, what, None)) }
    }

    fn counts(&self) -> serde_json::Value {
        use std::io::Write;
        let address = self.issuer.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /counts HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
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

/// Saves one record, or four slowly.
#[derive(Debug)]
struct Items(TemplateInfo);

#[async_trait]
impl Template for Items {
    fn info(&self) -> &TemplateInfo {
        &self.0
    }

    async fn fetch(&self, context: &mut SyncContext<'_>) -> Result<()> {
        let model = self.0.models[0].name.clone();
        let (count, wait) = if model == "Slow" { (4, 1_200) } else { (1, 0) };
        for id in 0..count {
            let page = context.send(HttpRequest::get(format!("/items?id={id}&wait={wait}"))).await?;
            context.save(&model, page.elements()?).await?;
        }
        Ok(())
    }
}

/// A program of the user's: a store, a vault in it, an engine on both, one connection.
pub(crate) struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Vault,
    pub(crate) engine: Engine,
}

impl App {
    pub(crate) async fn open(provider: &Provider, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.join("app.db")).unwrap());
        let vault = Vault::open(Arc::clone(&store), Arc::new(KeyFile::new(folder.join("keys/app.key")))).await.unwrap();
        let info =
            ProviderInfo::new("acme", format!("{}/api", provider.issuer)).auth(AuthKind::OAuth2(provider.oauth()));
        let template = |name: &str, model: &str| Arc::new(Items(info.template(name).model(model, "an item"))) as _;
        let engine = Engine::builder(Arc::clone(&store))
            .templates([template("items", "Item"), template("slow", "Slow")])
            .credential_store(Arc::new(vault.clone()))
            .build()
            .unwrap();
        engine.connect(ConnectionSettings::new("c", "acme")).await.unwrap();
        App { store, vault, engine }
    }

    pub(crate) async fn run(&self) -> Result<()> {
        loop {
            match self.engine.sync("c", "acme/items")?.run_once(RunOptions::default()).await {
                // The other process is at it.
                Err(error) if error.kind() == highwater::ErrorKind::Busy => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                outcome => return outcome.map(drop),
            }
        }
    }
}
