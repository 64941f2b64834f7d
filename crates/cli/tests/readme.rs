//! The README's two requests, as it writes them, by curl against a running `highwater serve --demo`.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]
#![cfg(unix)]

mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use support::served::Served;

const README: &str = include_str!("../../../README.md");

/// The commands of the README that call curl, each with the answer below it.
fn transcript() -> Vec<(String, Value)> {
    let block = README.split("```console\n").find(|block| block.starts_with("$ highwater serve")).unwrap();
    let block = block.split("```").next().unwrap();
    let calls = block.split("\n$ ").filter(|call| call.starts_with("curl"));
    let split = |call: &str| {
        let (command, answer) = call.split_once("\n{").unwrap();
        (command.to_owned(), serde_json::from_str(&format!("{{{answer}")).unwrap())
    };
    calls.map(split).collect()
}

/// The names of members, at every depth; of arrays those of the first element.
fn shape(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let path = format!("{path}.{name}");
            found.push(path.clone());
            shape(value, &path, found);
        }),
        Value::Array(elements) => elements.iter().take(1).for_each(|element| shape(element, path, found)),
        _ => {}
    }
}

fn shape_of(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    shape(value, "", &mut found);
    found
}

#[test]
fn the_requests_of_the_readme_are_answered_as_it_says() {
    if !Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        println!("skipped: there is no curl");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let served = Served::demo(folder.path());
    let calls = transcript();
    assert_eq!(calls.len(), 2);
    let (mut cursor, mut ids) = (String::new(), Vec::new());
    for (command, written) in calls {
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("CURSOR", &cursor);
        shell.env("URL", &served.url).env("KEY", &served.key);
        let output = shell.output().unwrap();
        let answer: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(shape_of(&answer), shape_of(&written), "{answer}");
        cursor = answer["resume_cursor"].as_str().unwrap().to_owned();
        ids.push(answer["records"][0]["id"].as_str().unwrap().to_owned());
    }
    assert_ne!(ids[0], ids[1], "the second request goes on behind the first");
}
