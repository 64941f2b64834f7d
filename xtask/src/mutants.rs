//! `cargo xtask mutants [NAME...]`: breaks each rule of the log in turn and sees whether the suite notices.
//!
//! A test that fails while a rule is broken counts only if it passes in the same binary while none is.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::cargo;

/// The crates whose tests are the proof, the quickest first.
const CRATES: &[&str] = &[
    "highwater-core",
    "highwater-conformance",
    "highwater-store-redb",
    "highwater-store-sqlite",
    "highwater-store-sled",
    "highwater-vault",
    "highwater-sign-in",
    "highwater-engine",
    "highwater-server",
    "highwater-testkit",
];

/// Built along, and nothing of it is run: with what it asks of them, SQLite, TLS and hashing are the builds that the
/// tests of the whole workspace have made already.
const ALONG: &str = "highwater-bench";

const FEATURES: &str = "highwater-core/mutants,highwater-conformance/mutants,highwater-store-sled/mutants,highwater-store-sqlite/mutants,highwater-engine/mutants,highwater-vault/mutants,highwater-sign-in/mutants,highwater-server/mutants";

/// A broken rule may make a test run forever, which is detected too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tests of one binary at a time.
const THREADS: &str = "--test-threads=4";

/// A rule that can be broken.
struct Mutant {
    name: String,
    /// The property whose tests are expected to notice: the beginning of their names.
    property: String,
    /// What is done instead of the right thing.
    instead: String,
}

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let all = all()?;
    if arguments.iter().any(|argument| argument == "--list") {
        for mutant in &all {
            println!("{:32} {:4} {}", mutant.name, mutant.property, mutant.instead);
        }
        return Ok(());
    }
    let chosen: Vec<&Mutant> =
        all.iter().filter(|mutant| arguments.is_empty() || arguments.contains(&mutant.name)).collect();
    if chosen.is_empty() {
        return Err("no mutant of that name; `cargo xtask mutants --list` tells them all".to_owned());
    }
    let began = Instant::now();
    let suites = build()?;
    println!("built {} suites in {} s", suites.len(), began.elapsed().as_secs());
    let mut survivors = Vec::new();
    let mut sound = Sound::default();
    for mutant in &chosen {
        let began = Instant::now();
        match killer(&suites, mutant)? {
            Some(killer) => {
                sound.confirm(&killer)?;
                let (suite, failed) = (&killer.suite.name, killer.shown());
                println!("{:32} killed by {suite} {failed} in {:.1} s", mutant.name, began.elapsed().as_secs_f32());
            }
            None => {
                println!("{:32} SURVIVED: {}", mutant.name, mutant.instead);
                survivors.push(mutant.name.as_str());
            }
        }
    }
    println!("killed {} of {}", chosen.len() - survivors.len(), chosen.len());
    if survivors.is_empty() { Ok(()) } else { Err(format!("survivors: {}", survivors.join(", "))) }
}

/// The rules of every crate, each from the list beside its sources, which must name those that the sources have.
fn all() -> Result<Vec<Mutant>, String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut all = Vec::new();
    for package in CRATES {
        let folder = crates.join(short(package));
        let Ok(list) = fs::read_to_string(folder.join("mutants.txt")) else { continue };
        let of_crate = list.lines().filter(|line| !line.starts_with('#')).map(rule).collect::<Result<Vec<_>, _>>()?;
        let listed: BTreeSet<String> = of_crate.iter().map(|mutant| mutant.name.clone()).collect();
        let mut found = BTreeSet::new();
        find_rules(&folder.join("src"), &mut found)?;
        if listed != found {
            let differing: Vec<&String> = listed.symmetric_difference(&found).collect();
            return Err(format!("{package}: mutants.txt and the sources differ in {differing:?}"));
        }
        all.extend(of_crate);
    }
    Ok(all)
}

/// A line of a list.
fn rule(line: &str) -> Result<Mutant, String> {
    let mut parts = line.splitn(3, '|').map(|part| part.trim().to_owned());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), Some(property), Some(instead)) => Ok(Mutant { name, property, instead }),
        _ => Err(format!("a rule is `name | property | what is done instead`, not `{line}`")),
    }
}

/// The names in `mutant!("name")` under a folder.
fn find_rules(folder: &Path, found: &mut BTreeSet<String>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            find_rules(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).map_err(failed)?;
            let names = source.split("mutant!(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
            found.extend(names.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    Ok(())
}

/// A test binary.
struct Suite {
    name: String,
    path: PathBuf,
    folder: PathBuf,
}

fn build() -> Result<Vec<Suite>, String> {
    let mut command = cargo(&["test", "--no-run", "--message-format=json", "--features", FEATURES]);
    for name in CRATES.iter().chain([&ALONG]) {
        command.args(["--package", name]);
    }
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("the suites do not build".to_owned());
    }
    let mut suites: Vec<Suite> = String::from_utf8_lossy(&output.stdout).lines().filter_map(suite).collect();
    suites.sort_by_key(|suite| CRATES.iter().position(|name| suite.name.starts_with(name)));
    if suites.is_empty() { Err("cargo built no tests".to_owned()) } else { Ok(suites) }
}

/// The suite that a message of cargo tells of.
fn suite(message: &str) -> Option<Suite> {
    // Examples are built too, and some of them run forever.
    let profile = message.split("\"profile\":{").nth(1)?.split('}').next()?;
    if !profile.contains("\"test\":true") {
        return None;
    }
    let path = PathBuf::from(text(message, "executable")?);
    let manifest = PathBuf::from(text(message, "manifest_path")?);
    let folder = manifest.parent()?.to_owned();
    let package = text(message, "package_id")?;
    let package = CRATES.iter().find(|name| package.contains(*name) || folder.ends_with(short(name)))?;
    let target = path.file_name()?.to_str()?.split('-').next()?.to_owned();
    Some(Suite { name: format!("{package}::{target}"), path, folder })
}

fn short(package: &str) -> &str {
    package.trim_start_matches("highwater-")
}

/// The text behind `"key":` in a line of JSON; the paths and names asked for contain no escapes here.
fn text<'m>(message: &'m str, key: &str) -> Option<&'m str> {
    let begin = message.find(&format!("\"{key}\":\""))? + key.len() + 4;
    let length = message[begin..].find('"')?;
    Some(&message[begin..begin + length])
}

/// What noticed a broken rule.
struct Killer<'s> {
    suite: &'s Suite,
    /// The test that failed; none where it did not end or the whole binary came down.
    test: Option<String>,
    how: String,
}

impl Killer<'_> {
    fn shown(&self) -> &str {
        self.test.as_deref().unwrap_or(&self.how)
    }
}

/// The tests that pass while nothing is broken.
#[derive(Default)]
struct Sound {
    seen: HashSet<(String, String)>,
}

impl Sound {
    /// Runs what noticed a broken rule without it: the test alone, or the whole suite where it has no name.
    fn confirm(&mut self, killer: &Killer<'_>) -> Result<(), String> {
        let filter = killer.test.clone().unwrap_or_default();
        if !self.seen.insert((killer.suite.name.clone(), filter.clone())) {
            return Ok(());
        }
        match failure(killer.suite, None, &filter)? {
            None => Ok(()),
            Some(failed) => Err(format!("{} {} fails although no rule is broken", killer.suite.name, failed.shown())),
        }
    }
}

/// The first test that notices: those of the rule's own property are asked first.
fn killer<'s>(suites: &'s [Suite], mutant: &Mutant) -> Result<Option<Killer<'s>>, String> {
    for filter in [mutant.property.as_str(), ""] {
        for suite in suites {
            if let Some(killer) = failure(suite, Some(mutant), filter)? {
                return Ok(Some(killer));
            }
        }
    }
    Ok(None)
}

/// Runs the tests of a suite whose names contain `filter`; what failed.
fn failure<'s>(suite: &'s Suite, mutant: Option<&Mutant>, filter: &str) -> Result<Option<Killer<'s>>, String> {
    let report = tempfile(suite);
    let file = fs::File::create(&report).map_err(|error| format!("{}: {error}", report.display()))?;
    let mut command = Command::new(&suite.path);
    // An intended failure is not a regression to record.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    command.arg(THREADS).current_dir(&suite.folder).stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
    if !filter.is_empty() {
        command.arg(filter);
    }
    match mutant {
        Some(mutant) => command.env("HIGHWATER_MUTANT", &mutant.name),
        None => command.env_remove("HIGHWATER_MUTANT"),
    };
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", suite.path.display()))?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| format!("{}: {error}", suite.name))? {
            Some(status) => break Some(status),
            None if began.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let told = fs::read(&report).unwrap_or_default();
    let _ = fs::remove_file(&report);
    match status {
        Some(status) if status.success() => Ok(None),
        None => Ok(Some(Killer { suite, test: None, how: "(a test that did not end)".to_owned() })),
        Some(status) => {
            let told = String::from_utf8_lossy(&told);
            let failed = told.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
            Ok(Some(Killer { suite, test: failed.map(str::to_owned), how: status.to_string() }))
        }
    }
}

fn tempfile(suite: &Suite) -> PathBuf {
    let name = format!("highwater-mutants-{}-{}", std::process::id(), suite.name.replace("::", "-"));
    std::env::temp_dir().join(name)
}
