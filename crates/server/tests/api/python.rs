//! Python packages in an environment of their own, in the folder for tests' files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Installs a package, and returns where its programs are; `None`, with a line that says why, where that is not possible.
pub(crate) fn with(package: &str) -> Option<PathBuf> {
    let (name, _) = package.split_once('=').unwrap_or((package, ""));
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python").join(package);
    let programs = place.join("bin");
    if programs.join(name).exists() {
        return Some(programs);
    }
    let quietly = |program: &Path, arguments: &[&str]| {
        Command::new(program).args(arguments).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let made = quietly(Path::new("python3"), &["-m", "venv", &place.to_string_lossy()])
        && quietly(&programs.join("pip"), &["install", "--quiet", "--retries", "1", package]);
    if !made {
        println!("skipped: {package} cannot be installed from PyPI");
    }
    made.then_some(programs)
}
