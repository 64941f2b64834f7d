//! The test binaries of the workspace: building them, and running several at a time.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::process::cargo;

/// What no workspace member enables but the documentation uses; and the rules that `cargo xtask mutants` breaks, which stay
/// whole unless it says otherwise. So all that runs tests has the same builds.
pub(crate) const FEATURES: &str = "highwater/encryption,highwater/zstd,highwater/keychain,highwater/browser,\
    highwater-core/mutants,highwater-conformance/mutants,highwater-store-sled/mutants,highwater-store-sqlite/mutants,\
    highwater-engine/mutants,highwater-vault/mutants,highwater-sign-in/mutants,highwater-server/mutants";

/// A test binary.
pub(crate) struct Suite {
    /// Package and target.
    pub(crate) name: String,
    pub(crate) package: String,
    path: PathBuf,
    folder: PathBuf,
}

impl Suite {
    /// A call of it, as cargo makes it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder).env("CARGO_PKG_NAME", &self.package);
        command
    }
}

/// Builds the suites of the workspace.
pub(crate) fn build() -> Result<Vec<Suite>, String> {
    let mut command = cargo(&["test", "--workspace", "--no-run", "--message-format=json", "--features", FEATURES]);
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("the suites do not build".to_owned());
    }
    let suites: Vec<Suite> = String::from_utf8_lossy(&output.stdout).lines().filter_map(suite).collect();
    if suites.is_empty() { Err("cargo built no tests".to_owned()) } else { Ok(suites) }
}

/// The suite that a message of cargo tells of.
fn suite(message: &str) -> Option<Suite> {
    let message: Value = serde_json::from_str(message).ok()?;
    // Examples are built too, and some of them run forever.
    if !message["profile"]["test"].as_bool()? {
        return None;
    }
    let path = PathBuf::from(message["executable"].as_str()?);
    let folder = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_owned();
    let package = package(message["package_id"].as_str()?)?.to_owned();
    let target = message["target"]["name"].as_str()?;
    Some(Suite { name: format!("{package}::{target}"), package, path, folder })
}

/// The name in a package's id: `path+file:///crates/core#highwater-core@0.1.0`, or `path+file:///highwater#0.1.0`.
fn package(id: &str) -> Option<&str> {
    let (place, version) = id.split_once('#')?;
    match version.split_once('@') {
        Some((name, _)) => Some(name),
        None => place.rsplit('/').next(),
    }
}

/// Runs a worker per processor: most tests wait more than they compute.
pub(crate) fn in_parallel<T: Send>(worker: impl Fn() -> Result<T, String> + Sync) -> Vec<Result<T, String>> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(&worker)).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        results.map(|result| result.unwrap_or_else(|_| Err("a worker panicked".to_owned()))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_id_names_the_package_or_its_folder_does() {
        assert_eq!(package("path+file:///code/crates/core#highwater-core@0.1.0"), Some("highwater-core"));
        assert_eq!(package("path+file:///code/highwater#0.1.0"), Some("highwater"));
    }
}
