//! Providers that a file describes.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{GitHub, Mood, failure, text};

fn write(folder: &Path, text: &str) -> String {
    let path = folder.join("forge.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

const FORGE: &str = "name: forge\nbase_url: https://forge.example\nauth:\n  - {kind: bearer, help: a token, page: 'https://forge.example/tokens'}\n";

#[test]
fn a_file_stands_for_a_provider_of_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let file = write(here, FORGE);
    let server = GitHub::start(2, Mood::Well);
    let request = ["proxy", "forge", "GET", "/repos/o/r/issues?page=1", "--provider-file", &file];
    let found = text(here, &[&request[..], &["--base-url", &server.url]].concat());
    assert!(found.contains("Issue 1"), "{found}");
    let told = failure(here, &[&["proxy", "forgo"], &request[2..]].concat());
    assert!(told.contains("describes another provider") && told.contains("provider: forge, given: forgo"), "{told}");
    let told = failure(here, &request[..4]);
    assert!(told.contains("no such template"), "{told}");
}

#[test]
fn a_check_shows_the_provider_or_the_line_of_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let file = write(here, FORGE);
    let shown = text(here, &["providers", "check", &file]);
    assert!(shown.contains("token: a token") && shown.contains("at https://forge.example/tokens"), "{shown}");
    let shown: Value = serde_json::from_str(&text(here, &["providers", "check", &file, "--json"])).unwrap();
    assert_eq!((&shown["type"], &shown["auth"][0]["kind"]), (&"provider".into(), &"bearer".into()));
    write(here, &FORGE.replace("base_url", "base_ulr"));
    let told = failure(here, &["providers", "check", &file]);
    assert!(told.contains("line 2: unknown key `base_ulr`: did you mean `base_url`? (file: "), "{told}");
    let told = failure(here, &["providers", "check", "none.yaml"]);
    assert!(told.contains("check the path"), "{told}");
}

#[test]
fn the_catalogue_says_how_one_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    assert!(text(here, &["providers"]).contains("\ngithub "));
    let shown = text(here, &["providers", "show", "github"]);
    assert!(shown.contains("personal access token") && shown.contains("device flow"), "{shown}");
    let shown = text(here, &["templates", "show", "github/issues"]);
    assert!(shown.contains("scopes repo"), "{shown}");
    let told = failure(here, &["providers", "show", "gitbuh"]);
    assert!(told.contains("no such provider") && told.contains("github"), "{told}");
}
