//! No circles between the parts of the engine: what one part names in its sources never leads back to it. Methods that one part
//! adds to the type of another are not seen.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which parts each part names, a part being a file or a folder directly under `src`.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Collects the sources below a folder: the part that each belongs to, and its text.
fn sources(folder: &Path, part: Option<&str>, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let part = part.unwrap_or(stem);
        if path.is_dir() {
            sources(&path, Some(part), found);
        } else if part != "lib" {
            found.push((part.to_owned(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The names behind `crate::` in code: neither in comments nor in the tests at a file's end. A name in capitals is one that the
/// root shows: it belongs to the part that `facade` has it from.
fn uses(sources: &[(String, String)], facade: &BTreeMap<String, String>) -> Uses {
    let mut uses = Uses::new();
    for (part, text) in sources {
        let used = uses.entry(part.clone()).or_default();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
        for line in code.lines().map(|line| line.split("//").next().unwrap_or(line)) {
            for behind in line.split("crate::").skip(1) {
                let name = behind.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or(behind);
                let name = facade.get(name).map_or(name, String::as_str);
                assert!(!name.is_empty(), "{part}: name one part of the crate in each `use`: {line}");
                used.insert(name.to_owned());
            }
        }
        used.remove(part);
    }
    uses
}

/// What the root shows of each part, from its lines `pub use part::{A, B};`.
fn facade(root: &str) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    for line in root.lines().filter_map(|line| line.strip_prefix("pub use ")) {
        if let Some((part, names)) = line.trim_end_matches(';').split_once("::") {
            let names = names.trim_matches(['{', '}']).split(", ");
            shown.extend(names.map(|name| (name.to_owned(), part.to_owned())));
        }
    }
    shown
}

/// Removes, one after another, the parts that use no other part and those that no other part uses. What is left is a circle.
fn circles(mut uses: Uses) -> Uses {
    loop {
        let parts: BTreeSet<String> = uses.keys().cloned().collect();
        let before = uses.len();
        uses.retain(|_, used| used.iter().any(|used| parts.contains(used)));
        let used: BTreeSet<String> = uses.values().flatten().cloned().collect();
        uses.retain(|part, _| used.contains(part));
        if uses.len() == before {
            return uses;
        }
    }
}

#[test]
fn no_part_of_the_engine_leads_back_to_itself() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, None, &mut found);
    let facade = facade(&std::fs::read_to_string(root.join("lib.rs")).unwrap());
    let uses = uses(&found, &facade);
    assert!(uses.len() > 20 && uses["run"].contains("documents"), "the sources were not read: {uses:?}");
    let left = circles(uses);
    assert!(left.is_empty(), "a circle; move down what both sides need, into a part of its own: {left:#?}");
}

#[test]
fn a_circle_is_found_and_nothing_but_it() {
    let text = |part: &str, text: &str| (part.to_owned(), text.to_owned());
    let found = [
        text("top", "use crate::run::Run;"),
        text("run", "use crate::logs; // crate::top"),
        text("logs", "fn of(engine: &crate::Engine) {}"),
        text("engine", "use crate::run::Run;\nuse crate::low;"),
        text("low", "#[cfg(test)]\nmod tests { use crate::engine; }"),
    ];
    let left = circles(uses(&found, &facade("pub use engine::Engine;")));
    assert_eq!(left.keys().collect::<Vec<_>>(), ["engine", "logs", "run"]);
}
