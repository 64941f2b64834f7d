//! `cargo xtask mutants [NAME...]`: breaks each rule of the log in turn and sees whether the suite notices.
//!
//! A test that fails while a rule is broken counts only if it passes in the same binary while none is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::suites::{self, Suite};

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
    let mut suites = suites::build()?;
    suites.retain(|suite| CRATES.contains(&&*suite.package));
    suites.sort_by_key(|suite| CRATES.iter().position(|name| *name == suite.package));
    println!("built {} suites in {} s", suites.len(), began.elapsed().as_secs());
    let (killers, survivors) = hunt(&suites, &chosen)?;
    confirm(&killers)?;
    println!("killed {} of {} in {} s", killers.len(), chosen.len(), began.elapsed().as_secs());
    if survivors.is_empty() { Ok(()) } else { Err(format!("survivors: {}", survivors.join(", "))) }
}

/// Breaks one rule per processor at a time: most tests wait more than they compute. What noticed, and the rules that nothing
/// noticed.
fn hunt<'s>(suites: &'s [Suite], chosen: &[&Mutant]) -> Result<(Vec<Killer<'s>>, Vec<String>), String> {
    let waiting = Mutex::new(chosen.iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let worker = || {
        let (mut killers, mut survivors) = (Vec::new(), Vec::new());
        while let Some(mutant) = next() {
            let began = Instant::now();
            let found = killer(suites, mutant)?;
            let seconds = began.elapsed().as_secs_f32();
            match found {
                Some(killer) => {
                    let (suite, failed) = (&killer.suite.name, killer.shown());
                    println!("{:32} killed by {suite} {failed} in {seconds:.1} s", mutant.name);
                    killers.push(killer);
                }
                None => {
                    println!("{:32} SURVIVED: {}", mutant.name, mutant.instead);
                    survivors.push(mutant.name.clone());
                }
            }
        }
        Ok((killers, survivors))
    };
    let (mut killers, mut survivors) = (Vec::new(), Vec::new());
    for found in suites::in_parallel(worker) {
        let (more_killers, more_survivors) = found?;
        killers.extend(more_killers);
        survivors.extend(more_survivors);
    }
    Ok((killers, survivors))
}

/// Runs what noticed broken rules while none is: those tests of each suite, or the whole suite where one has no name.
fn confirm(killers: &[Killer<'_>]) -> Result<(), String> {
    let mut by_suite: BTreeMap<&str, (&Suite, Option<BTreeSet<&str>>)> = BTreeMap::new();
    for killer in killers {
        let (_, tests) = by_suite.entry(&killer.suite.name).or_insert((killer.suite, Some(BTreeSet::new())));
        match (&killer.test, tests.as_mut()) {
            (Some(test), Some(tests)) => drop(tests.insert(test)),
            _ => *tests = None,
        }
    }
    for (name, (suite, tests)) in by_suite {
        let mut arguments: Vec<&str> = tests.iter().flatten().copied().collect();
        if tests.is_some() {
            arguments.push("--exact");
        }
        if let Some(failed) = failure(suite, None, &arguments)? {
            return Err(format!("{name} {} fails although no rule is broken", failed.shown()));
        }
    }
    Ok(())
}

/// The rules of every crate, each from the list beside its sources, which must name those that the sources have.
fn all() -> Result<Vec<Mutant>, String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut all = Vec::new();
    for package in CRATES {
        let folder = crates.join(package.trim_start_matches("highwater-"));
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

/// The first test that notices: those of the rule's own property are asked first.
fn killer<'s>(suites: &'s [Suite], mutant: &Mutant) -> Result<Option<Killer<'s>>, String> {
    for filters in [&[mutant.property.as_str()][..], &[]] {
        for suite in suites {
            if let Some(killer) = failure(suite, Some(mutant), filters)? {
                return Ok(Some(killer));
            }
        }
    }
    Ok(None)
}

/// Runs the tests of a suite that the arguments choose; what failed.
fn failure<'s>(suite: &'s Suite, mutant: Option<&Mutant>, arguments: &[&str]) -> Result<Option<Killer<'s>>, String> {
    let scratch = Scratch::new()?;
    let report = scratch.0.join("report");
    let file = fs::File::create(&report).map_err(|error| format!("{}: {error}", report.display()))?;
    let mut command = suite.command();
    // An intended failure is not a regression to record.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    command.env("TMPDIR", &scratch.0);
    command.arg(THREADS).stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
    command.args(arguments);
    match mutant {
        Some(mutant) => command.env("HIGHWATER_MUTANT", &mutant.name),
        None => command.env_remove("HIGHWATER_MUTANT"),
    };
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", suite.name))?;
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

/// The temporary files of one run: broken rules leave some behind, which must not be in the way of the next run.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Short: sockets have paths of at most a hundred bytes.
        let name = format!("hw-mutants-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
