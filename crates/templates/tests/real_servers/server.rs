//! Servers of others' making, installed once into the target folder and started for a test.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; it ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: tempfile::TempDir,
}

impl Server {
    /// Starts `program` (made of its folder and port) and waits for its port. `Err` says why that is not possible here.
    pub(crate) fn start(
        ports: u16,
        command: impl FnOnce(&Path, u16) -> Result<Command, String>,
    ) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let port = free_ports(ports)?;
        let mut command = command(folder.path(), port)?;
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("the server could not be started: {error}"))?;
        let mut server = Server { child, port, folder };
        for _ in 0..300 {
            if (0..ports).all(|n| TcpStream::connect(("127.0.0.1", port + n)).is_ok()) {
                return Ok(server);
            }
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("the server ended at once: {status}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("the server did not come up within 30 seconds".to_owned())
    }

    pub(crate) fn base_url(&self, service: u16) -> String {
        format!("http://127.0.0.1:{}", self.port + service)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `count` ports in a row that nobody listens on.
fn free_ports(count: u16) -> Result<u16, String> {
    for _ in 0..50 {
        let first =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(|e| e.to_string())?.port();
        if first < u16::MAX - count && (0..count).all(|n| TcpListener::bind(("127.0.0.1", first + n)).is_ok()) {
            return Ok(first);
        }
    }
    Err("no free ports in a row".to_owned())
}

/// The program of an npm package, installed once.
pub(crate) fn npm(package: &str, version: &str, program: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{package}-{version}"));
    let program = folder.join("node_modules/.bin").join(program);
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"]);
    install.arg(&folder).arg(format!("{package}@{version}"));
    once(&folder, &program, &mut [install])
}

/// The Python of an environment with these packages, installed once.
pub(crate) fn python(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{name}"));
    let python = folder.join("bin/python");
    let mut environment = Command::new("python3");
    environment.args(["-m", "venv"]).arg(&folder);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    once(&folder, &python, &mut [environment, install])
}

fn once(folder: &Path, program: &Path, commands: &mut [Command]) -> Result<PathBuf, String> {
    let done = folder.join("installed");
    if done.exists() {
        return Ok(program.to_owned());
    }
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    for command in commands {
        let output = command.output().map_err(|error| format!("{command:?} is not here: {error}"))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{command:?} failed: {}", told.lines().last().unwrap_or("no reason given")));
        }
    }
    std::fs::write(done, "").map_err(|error| error.to_string())?;
    Ok(program.to_owned())
}
