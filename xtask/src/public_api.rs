//! `cargo xtask public-api [--json] [--root FOLDER] [CRATE...]`: counts what each library crate makes public.
//!
//! The figures come from rustdoc's JSON, so that re-exports, hidden items and macros count as a reader of the documentation
//! sees them. rustdoc writes JSON on the stable toolchain only with `RUSTC_BOOTSTRAP`, which would make cargo rebuild
//! dependencies that look at it; so this program stands in for rustdoc and sets it for that one process.
//! `--root` counts another checkout, such as a worktree of an earlier commit.

mod counts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustdoc_types::{Crate, FORMAT_VERSION};
use serde_json::{Value, json};

use crate::process::{self, cargo};
use counts::Counts;

/// Set for cargo, so that it runs this program in place of rustdoc.
const AS_RUSTDOC: &str = "HIGHWATER_XTASK_AS_RUSTDOC";

/// Does rustdoc's work if this process was started in its place.
pub(crate) fn as_rustdoc() -> Option<ExitCode> {
    let rustdoc = std::env::var_os(AS_RUSTDOC)?;
    let status = Command::new(rustdoc).args(std::env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").status();
    Some(if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut as_json = false;
    let mut root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut names = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => as_json = true,
            "--root" => root = arguments.next().ok_or("--root wants a folder")?.into(),
            name => names.push(name.to_owned()),
        }
    }
    let (known, target) = libraries(&root)?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("no library crate {unknown:?}; there are {}", known.join(", ")));
    }
    if names.is_empty() {
        names = known;
    }
    let mut report = BTreeMap::new();
    for name in &names {
        report.insert(name.as_str(), counts::of(&described(&root, &target, name)?));
    }
    if as_json {
        print_json(&report)
    } else {
        print_table(&report)
    }
    Ok(())
}

/// The workspace's crates with a library, and the folder that cargo builds into.
fn libraries(root: &Path) -> Result<(Vec<String>, PathBuf), String> {
    let mut command = cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"]);
    command.current_dir(root);
    let metadata: Value =
        serde_json::from_str(&process::capture(command)?).map_err(|error| format!("cargo metadata: {error}"))?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    let has_library = |package: &&Value| {
        let targets = package["targets"].as_array().into_iter().flatten();
        targets.filter_map(|target| target["kind"].as_array()).flatten().any(|kind| kind == "lib")
    };
    let packages = metadata["packages"].as_array().into_iter().flatten().filter(has_library);
    let mut names: Vec<String> = packages.filter_map(|package| package["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    Ok((names, target.into()))
}

/// What rustdoc knows about a crate, with all its features.
fn described(root: &Path, target: &Path, name: &str) -> Result<Crate, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = cargo(&["rustdoc", "--quiet", "--locked", "--lib", "--all-features", "-p", name]);
    command.args(["--", "-Z", "unstable-options", "--output-format", "json"]);
    command.current_dir(root).env("RUSTDOC", this).env(AS_RUSTDOC, "rustdoc");
    process::run(&mut command)?;
    let path = target.join("doc").join(name.replace('-', "_")).with_extension("json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        let written = serde_json::from_str::<Value>(&text).map(|value| value["format_version"].to_string());
        let written = written.unwrap_or_default();
        format!("{}: {error}: it has format {written}, rustdoc-types reads {FORMAT_VERSION}", path.display())
    })
}

fn print_json(report: &BTreeMap<&str, Counts>) {
    for (name, counts) in report {
        println!(
            "{}",
            json!({
                "crate": name, "types": counts.types, "reexports": counts.reexports, "globs": counts.globs,
                "functions": counts.functions,
                "doc_lines": counts.doc_lines, "results": counts.results, "without_errors": counts.without_errors,
                "foreign": counts.foreign,
            })
        );
    }
}

fn print_table(report: &BTreeMap<&str, Counts>) {
    println!(
        "| crate | types | re-exports | methods | doc lines per method | `Result` without `# Errors` | foreign types |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|");
    for (name, counts) in report {
        let globs: String = counts.globs.iter().map(|name| format!(" and all of {name}")).collect();
        let foreign: Vec<String> =
            counts.foreign.iter().map(|(name, types)| format!("{name} {}", types.len())).collect();
        println!(
            "| {name} | {} | {}{globs} | {} | {:.1} | {} of {} | {} |",
            counts.types,
            counts.reexports,
            counts.functions,
            counts.doc_lines_per_function(),
            counts.without_errors.len(),
            counts.results,
            foreign.join(", ")
        );
    }
}
