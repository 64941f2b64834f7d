//! `cargo xtask targets`: whether the command compiles for the systems that this machine is not, with the keychain and without.
//!
//! Only Rust is checked: a compiler for C that writes nothing stands in for those of the other systems, because nothing is linked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{self, cargo};

const TARGETS: [&str; 2] = ["x86_64-pc-windows-gnu", "aarch64-apple-darwin"];

/// Takes the place of a compiler and an archiver: makes the files that it was asked for, without contents.
const STUB: &str = "#!/bin/sh
for word in \"$@\"; do
  case \"$before\" in -o) : > \"$word\";; esac
  case \"$word\" in *.a | *.lib) : > \"$word\";; esac
  before=$word
done
exit 0
";

pub(crate) fn run(_: &[String]) -> Result<(), String> {
    let stub = stub()?;
    for target in TARGETS {
        if let Err(reason) = install(target) {
            println!("skipped: {target} cannot be installed: {reason}");
            continue;
        }
        for features in [&["--features", "keychain"][..], &[]] {
            process::run(&mut check(target, features, &stub))?;
        }
        println!("{target}: compiles");
    }
    Ok(())
}

fn check(target: &str, features: &[&str], stub: &Path) -> Command {
    let mut command = cargo(&["check", "--quiet", "-p", "highwater-cli", "--target", target]);
    command.args(features);
    for tool in ["CC", "CXX", "AR"] {
        command.env(format!("{tool}_{}", target.replace('-', "_")), stub);
    }
    command
}

fn install(target: &str) -> Result<(), String> {
    let told = Command::new("rustup").args(["target", "add", target]).output().map_err(|error| error.to_string())?;
    if told.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&told.stderr).lines().last().unwrap_or("rustup failed").to_owned())
}

fn stub() -> Result<PathBuf, String> {
    let place = std::env::temp_dir().join(format!("highwater-stub-{}", std::process::id()));
    fs::write(&place, STUB).map_err(|error| error.to_string())?;
    make_executable(&place).map_err(|error| error.to_string())?;
    Ok(place)
}

#[cfg(unix)]
fn make_executable(place: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other("the stand-in for a compiler is a shell script: run this on Linux or macOS"))
}
