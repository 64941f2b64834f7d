//! `cargo xtask size`: what Highwater costs a host, in crates, bytes and seconds of a cold build, per feature set.
//!
//! `xtask/host` is a host whose features are the sets. Bytes are those of its stripped release build with thin LTO, over the
//! same program without features. Fails if a figure exceeds its limit by more than 5 %.

mod figures;
mod sets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use figures::Figures;
use sets::{COMMAND, SETS, Set};

use crate::process::{self, cargo};

const USAGE: &str = "usage: cargo xtask size [--json] [--crates | --quick | --cold] [NAME...]
  --crates  counts crates and builds nothing
  --quick   leaves out what builds longest: the command, and its first record
  --cold    builds each set from nothing, for its seconds";

/// How much is built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Crates,
    Quick,
    Full,
    Cold,
}

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut json, mut depth, mut names) = (false, Depth::Full, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--json" => json = true,
            "--crates" => depth = Depth::Crates,
            "--quick" => depth = Depth::Quick,
            "--cold" => depth = Depth::Cold,
            name if name == COMMAND || SETS.iter().any(|set| set.name == name) => names.push(name),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let is_wanted = |name: &str| names.is_empty() || names.contains(&name);
    let mut figures = Figures::default();
    let empty = if depth == Depth::Crates { 0 } else { built(&[], depth)?.0 };
    for set in SETS.iter().filter(|set| is_wanted(set.name)) {
        measure(set, depth, empty, &mut figures)?;
    }
    if is_wanted(COMMAND) {
        measure_command(depth, empty, &mut figures)?;
    }
    figures.print(json);
    figures.check()
}

fn measure(set: &Set, depth: Depth, empty: u64, figures: &mut Figures) -> Result<(), String> {
    let features = set.features.join(",");
    let tree = ["-p", "highwater-host", "--no-default-features", "--features", &features];
    let crates = crates(&tree)?;
    // A host's JSON objects keep the order that the host has chosen.
    if crates.iter().any(|line| line.starts_with("serde_json ") && line.contains("preserve_order")) {
        return Err(format!("{features} turns serde_json/preserve_order on for the host"));
    }
    // Less the host itself.
    figures.add(set.name, "crates", crates.len() as u64 - 1, Some(set.crates));
    if depth != Depth::Crates {
        let (bytes, seconds) = built(set.features, depth)?;
        figures.add(set.name, "bytes", bytes.saturating_sub(empty), set.bytes);
        if depth == Depth::Cold {
            figures.add(set.name, "s", seconds, None);
        }
    }
    Ok(())
}

/// The command, and how long its first record takes from a cold build on.
fn measure_command(depth: Depth, empty: u64, figures: &mut Figures) -> Result<(), String> {
    figures.add(COMMAND, "crates", crates(&["-p", "highwater-cli"])?.len() as u64, Some(sets::COMMAND_CRATES));
    if depth == Depth::Crates || depth == Depth::Quick {
        return Ok(());
    }
    let target = emptied("first-command")?;
    let began = Instant::now();
    let mut demo = release(&target, &["run", "-p", "highwater-cli"]);
    demo.args(["--", "demo", "--for", "1ms", "--json"]).stdout(Stdio::null());
    process::run(&mut demo)?;
    figures.add("first_command", "s", began.elapsed().as_secs(), None);
    figures.add(COMMAND, "bytes", size(&target.join("release/highwater"))?.saturating_sub(empty), sets::COMMAND_BYTES);
    Ok(())
}

/// The packages, as name, version and features, that a host on this machine compiles for its own tree.
fn crates(packages: &[&str]) -> Result<Vec<String>, String> {
    let mut command =
        of_a_host(cargo(&["tree", "--locked", "-e", "normal", "--prefix", "none", "--format", "{p} {f}"]));
    command.args(packages);
    let text = process::capture(command)?;
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect();
    lines.sort();
    lines.dedup_by_key(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    Ok(lines)
}

/// Bytes of the host's program with these features, and the seconds its build took.
fn built(features: &[&str], depth: Depth) -> Result<(u64, u64), String> {
    let target = if depth == Depth::Cold { emptied("cold")? } else { folder("warm") };
    let began = Instant::now();
    let mut command = release(&target, &["build", "-p", "highwater-host", "--no-default-features", "--features"]);
    process::run(command.arg(features.join(",")))?;
    Ok((size(&target.join("release/highwater-host"))?, began.elapsed().as_secs()))
}

fn release(target: &Path, arguments: &[&str]) -> Command {
    let (subcommand, rest) = arguments.split_first().unwrap_or((&"build", &[]));
    let mut command = of_a_host(cargo(&[subcommand, "--locked", "--quiet", "--release", "--target-dir"]));
    command.arg(target).args(rest);
    command
}

/// Without what the caller's environment says of features: a host resolves its own.
fn of_a_host(mut command: Command) -> Command {
    command.env_remove("CARGO_UNSTABLE_FEATURE_UNIFICATION").env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION");
    command
}

fn folder(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join("size").join(name)
}

fn emptied(name: &str) -> Result<PathBuf, String> {
    let folder = folder(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{}: {error}", folder.display())),
        _ => Ok(folder),
    }
}

fn size(path: &Path) -> Result<u64, String> {
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    fs::metadata(&path).map(|found| found.len()).map_err(|error| format!("{}: {error}", path.display()))
}
