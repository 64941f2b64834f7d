//! The pages of `docs/` name files of the sources that are there.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn files_below(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

/// The sources that a page names in code spans, whole or by the end of their path.
fn named(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2).filter(|span| span.ends_with(".rs") && !span.contains([' ', '*', '<']))
}

#[test]
fn pages_name_files_that_are_there() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["bindings", "crates", "examples", "src", "tests", "xtask"] {
        files_below(&root.join(folder), &mut sources);
    }
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut count = 0;
    for page in pages.chain(["README.md", "CONTRIBUTING.md"].map(|name| root.join(name))) {
        for name in named(&std::fs::read_to_string(&page).unwrap()) {
            count += 1;
            let there = sources.iter().any(|path| path.ends_with(&format!("/{name}")));
            assert!(there, "{} names {name}, and there is no such file", page.display());
        }
    }
    assert!(count > 40, "only {count} names were found");
}

/// Functions that a page names right behind the file that they are in: `file.rs`, `function`.
fn functions(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let pieces: Vec<&str> = page.split('`').collect();
    let pairs: Vec<(&str, &str)> =
        pieces.windows(3).filter(|window| window[1] == ", ").map(|window| (window[0], window[2])).collect();
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    pairs.into_iter().filter(move |(file, name)| file.ends_with(".rs") && is_name(name))
}

#[test]
fn functions_are_in_the_files_that_the_pages_say() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    files_below(&root.join("crates"), &mut sources);
    let mut count = 0;
    for page in ["docs/tour.md", "docs/architecture.md"] {
        for (file, name) in functions(&std::fs::read_to_string(root.join(page)).unwrap()) {
            count += 1;
            let mut files = sources.iter().filter(|path| path.ends_with(&format!("/{file}")));
            let there = files.any(|path| std::fs::read_to_string(path).unwrap().contains(&format!("fn {name}")));
            assert!(there, "{page} says that `{name}` is in {file}");
        }
    }
    assert!(count > 7, "only {count} functions were found");
}

#[test]
fn each_page_says_first_what_a_reader_gets_from_it() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for page in std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&page).unwrap();
        let first = text.lines().skip(1).find(|line| !line.is_empty()).unwrap();
        assert!(first.starts_with(char::is_alphabetic), "{} begins with {first:?}", page.display());
    }
}

#[test]
fn the_page_of_the_architecture_lists_the_dependencies_that_there_are() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let table = page.split("| crate | depends on |").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let names = |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut listed = BTreeMap::new();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let (crates, on) = row.trim_matches('|').split_once('|').unwrap();
        listed.extend(names(crates).into_iter().map(|name| (name, names(on))));
    }
    let mut there = BTreeMap::new();
    let folders = ["bindings", "crates"].into_iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let folders = folders.map(|entry| entry.unwrap().path());
    for manifest in folders.chain([root.clone()]).map(|folder| folder.join("Cargo.toml")).filter(|file| file.exists()) {
        let text = std::fs::read_to_string(manifest).unwrap();
        let short = |name: &str| name.strip_prefix("highwater-").unwrap_or(name).to_owned();
        let package = text.split("[package]").nth(1).unwrap();
        let name = package.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"');
        let dependencies =
            text.split("\n[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap_or_default();
        let ours = dependencies.lines().filter(|line| line.starts_with("highwater"));
        let on = ours.filter_map(|line| line.split(['.', ' ', '=']).next()).map(short).collect::<BTreeSet<_>>();
        there.insert(short(name), on);
    }
    assert_eq!(listed, there);
}
