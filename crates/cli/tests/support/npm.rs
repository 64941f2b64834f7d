//! Packages of npm.

use std::path::Path;
use std::process::Command;

/// Installs a package into a folder; false, with a line that says why, where that is not possible.
pub(crate) fn install(folder: &Path, package: &str) -> bool {
    std::fs::write(folder.join("package.json"), r#"{"type": "module"}"#).unwrap();
    let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", package];
    let why = match Command::new("npm").current_dir(folder).args(install).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    println!("skipped: {package} cannot be installed from npm: {why}");
    false
}

/// Runs a program that must succeed; gives its standard output.
pub(crate) fn node(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("node").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
