//! `docs/guarantees.md` names the tests that are there, all that the kit has, and one at least for each property.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The test functions of the sources below a folder, by name.
fn tests_below(folder: &Path, found: &mut BTreeMap<String, PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(test_functions(&text).map(|name| (name.to_owned(), path.clone())));
        }
    }
}

/// The functions of a source that a test attribute stands above, macros of proptest included.
fn test_functions(source: &str) -> impl Iterator<Item = &str> {
    let mut marked = false;
    source.lines().filter_map(move |line| {
        let line = line.trim();
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
            return None;
        }
        if !marked || line.starts_with("#[") || line.starts_with("//") {
            return None;
        }
        marked = false;
        let name = line.trim_start_matches("async ").strip_prefix("fn ")?;
        name.split('(').next()
    })
}

/// What the macro of the kit makes tests of.
fn kit(root: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root.join("crates/conformance/src/lib.rs")).unwrap();
    let list = text.split("macro_rules! for_each_case").nth(1).unwrap().split("macro_rules!").next().unwrap();
    let names = list.lines().map(str::trim).filter(|line| is_test_of_a_property(line));
    names.map(str::to_owned).chain(["state_machine".to_owned()]).collect()
}

fn is_test_of_a_property(word: &str) -> bool {
    let number = word.strip_prefix('p').and_then(|rest| rest.split('_').next());
    number.is_some_and(|number| number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit()))
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A row of the page's tables.
struct Row {
    property: usize,
    /// Names of tests, and whether each lives with one crate.
    tests: Vec<(String, bool)>,
}

fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with("| P")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [property, _, proof] = *cells else { panic!("not three cells: {line}") };
        let pieces: Vec<&str> = proof.split('`').collect();
        // Every second piece is a name; a dagger behind it says that it lives with one crate.
        let tests = pieces.chunks(2).filter_map(|pair| match *pair {
            [_, name] => Some(name),
            _ => None,
        });
        let alone = pieces.iter().skip(2).step_by(2).map(|behind| behind.starts_with('†'));
        let mut tests: Vec<(String, bool)> = tests.map(str::to_owned).zip(alone).collect();
        tests.retain(|(name, _)| !name.starts_with("highwater-"));
        if proof.contains("machine") {
            tests.push(("state_machine".to_owned(), false));
        }
        rows.push(Row { property: property[1..].parse().unwrap(), tests });
    }
    rows
}

#[test]
fn every_property_is_proven_by_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let kit = kit(root);
    let mut others = BTreeMap::new();
    tests_below(&root.join("tests"), &mut others);
    for crate_folder in std::fs::read_dir(root.join("crates")).unwrap() {
        for part in ["src", "tests"] {
            let folder = crate_folder.as_ref().unwrap().path().join(part);
            if folder.is_dir() {
                tests_below(&folder, &mut others);
            }
        }
    }
    let rows = rows(&page);
    let properties: Vec<usize> = rows.iter().map(|row| row.property).collect();
    assert_eq!(properties, (1..=43).collect::<Vec<_>>(), "a row for each property, in order");
    let mut named = BTreeSet::new();
    for Row { property, tests } in rows {
        assert!(!tests.is_empty(), "P{property} has no proof");
        for (name, alone) in tests {
            if let Some(beginning) = name.strip_suffix('*') {
                assert!(alone && others.keys().any(|test| test.starts_with(beginning)), "P{property}: {name}");
                continue;
            }
            let there = if alone { others.contains_key(&name) } else { kit.contains(&name) };
            let kind = if alone { "one crate has" } else { "the kit has (a test of one crate is marked †)" };
            assert!(there, "P{property} names `{name}`, which is no test that {kind}");
            named.insert(name);
        }
    }
    let engine = page.split("## The engine").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let proofs = engine
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    let missing: Vec<&str> = proofs.filter(|name| !others.contains_key(*name)).collect();
    assert!(missing.is_empty() && engine.contains('`'), "the engine's table names what is no test: {missing:?}");
    let unnamed: Vec<&String> = kit.difference(&named).collect();
    assert!(unnamed.is_empty(), "tests of the kit that no property names: {unnamed:?}");
}

/// The numbers of hazards in a text: `H9` as a word, and `h38_` at the beginning of a name.
fn hazards(text: &str) -> impl Iterator<Item = usize> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter_map(|word| {
        let number = word
            .strip_prefix('H')
            .or_else(|| word.strip_prefix('h').and_then(|rest| rest.split_once('_')).map(|(n, _)| n));
        number.filter(|number| (1..=2).contains(&number.len())).and_then(|number| number.parse().ok())
    })
}

#[test]
fn every_hazard_that_a_source_names_is_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let defined: BTreeSet<usize> =
        page.lines().filter(|line| line.starts_with("| H")).filter_map(|line| hazards(line).next()).collect();
    let mut sources = Vec::new();
    for folder in ["crates", "docs", "examples", "src", "tests"] {
        files_below(&root.join(folder), &mut sources);
    }
    let mut named = BTreeSet::new();
    for path in sources.iter().filter(|path| path.extension().is_some_and(|end| end == "rs" || end == "md")) {
        for hazard in hazards(&std::fs::read_to_string(path).unwrap()) {
            assert!(defined.contains(&hazard), "{} names H{hazard}, which docs/guarantees.md lacks", path.display());
            named.insert(hazard);
        }
    }
    assert!(named.len() > 15, "only {named:?}");
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn the_sources_are_read_as_they_are_meant() {
    assert_eq!(hazards("(H9, P3) fn h38_a() HTTP H264 h2 H1-H6 x_h4_").collect::<Vec<_>>(), [9, 38, 1, 6]);
    let source = "#[test]\nfn one() {}\n#[tokio::test]\n// why\n#[ignore]\nasync fn two(x: u8) {}\nfn three() {}\n";
    assert_eq!(test_functions(source).collect::<Vec<_>>(), ["one", "two"]);
    assert!(is_test_of_a_property("p01_a_b") && !is_test_of_a_property("pages") && !is_test_of_a_property("p1_x"));
    let row = &rows("| P7 | It is. | `p07_a`, `p07_b`† (also sled), `p34_*`† of `highwater-core`, machine |")[0];
    let names: Vec<_> = row.tests.iter().map(|(name, alone)| (name.as_str(), *alone)).collect();
    assert_eq!(names, [("p07_a", false), ("p07_b", true), ("p34_*", true), ("state_machine", false)]);
}
