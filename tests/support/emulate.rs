//! The GitHub API of the npm package `emulate`, as a real server of others' making.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const VERSION: &str = "0.11.2";
pub(crate) const TOKENS: usize = 8;

/// The running server; it ends with this value.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
}

impl Emulator {
    /// Installs (once) and starts it. `Err` says why that is not possible here.
    pub(crate) fn start() -> Result<Self, String> {
        let program = install()?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut seed = "tokens:\n".to_owned();
        for token in 0..TOKENS {
            seed.push_str(&format!("  tok{token}: {{login: octocat, scopes: [repo, user]}}\n"));
        }
        seed.push_str("  reader: {login: octocat, scopes: [repo, user]}\n");
        seed.push_str("github:\n  users: [{login: octocat, name: The Octocat, email: octocat@github.com}]\n");
        seed.push_str("  repos: [{owner: octocat, name: hello-world, language: JavaScript, auto_init: true}]\n");
        let seed_path = folder.path().join("seed.yaml");
        std::fs::write(&seed_path, seed).map_err(|error| error.to_string())?;
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(|e| e.to_string())?.port();
        let child = Command::new(program)
            .args(["--service", "github", "--seed"])
            .arg(&seed_path)
            .args(["--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("node could not be started: {error}"))?;
        let mut emulator = Emulator { child, port, _folder: folder };
        for _ in 0..300 {
            if request(port, "reader", "GET", "/repos/octocat/hello-world", "").is_ok_and(|(status, _)| status == 200) {
                return Ok(emulator);
            }
            if let Ok(Some(status)) = emulator.child.try_wait() {
                return Err(format!("the emulator ended at once: {status}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err("the emulator did not come up within 30 seconds".to_owned())
    }

    /// One request of a seeding client.
    pub(crate) fn request(&self, token: usize, method: &str, path: &str, body: &str) -> (u16, String) {
        request(self.port, &format!("tok{token}"), method, path, body).expect("the emulator answers")
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn install() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulate-{VERSION}"));
    let program = folder.join("node_modules/.bin/emulate");
    if program.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let output = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--silent", "--prefix"])
        .arg(&folder)
        .arg(format!("emulate@{VERSION}"))
        .output()
        .map_err(|error| format!("npm is not here: {error}"))?;
    if output.status.success() && program.exists() {
        return Ok(program);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("npm could not install emulate@{VERSION}: {}", told.lines().next().unwrap_or("no reason given")))
}

fn request(port: u16, token: &str, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, answer))
}
