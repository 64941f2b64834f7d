//! The pages of `docs/` name files of the sources that are there.
#![allow(clippy::disallowed_methods)]

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
    for folder in ["crates", "examples", "src", "tests", "xtask"] {
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
