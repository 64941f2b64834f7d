//! The parts of the Tauri plugin that no compiler compares: commands, their arguments and permissions, and the guest JavaScript with its
//! types. Tauri itself is not compiled for it.
#![allow(clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

type Names = BTreeSet<String>;

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("bindings/tauri").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text between `open` and the parenthesis, bracket or brace that closes it.
fn inside<'t>(text: &'t str, open: &str) -> &'t str {
    let rest = &text[text.find(open).unwrap_or_else(|| panic!("{open:?} is missing")) + open.len()..];
    let mut depth = 1;
    for (at, letter) in rest.char_indices() {
        depth += i32::from("([{".contains(letter)) - i32::from(")]}".contains(letter));
        if depth == 0 {
            return &rest[..at];
        }
    }
    panic!("{open:?} is not closed")
}

/// The pieces between commas that are in no parenthesis.
fn pieces(list: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        depth += i32::from("([{<".contains(letter)) - i32::from(")]}>".contains(letter));
        if letter == ',' && depth == 0 {
            found.push(list[from..at].trim());
            from = at + 1;
        }
    }
    found.push(list[from..].trim());
    found.into_iter().filter(|piece| !piece.is_empty()).collect()
}

fn quoted(text: &str) -> Names {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Each command with its arguments, by its Rust function.
fn commands() -> BTreeMap<String, Names> {
    let mut found = BTreeMap::new();
    for module in ["admin", "connect", "proxy", "read", "subscribe", "trigger"] {
        let source = read(&format!("src/commands/{module}.rs"));
        for function in source.split("#[tauri::command]\npub(crate) async fn ").skip(1) {
            let name = function.split('<').next().unwrap();
            let arguments = pieces(inside(function, "("))
                .into_iter()
                .map(|argument| argument.split(':').next().unwrap().to_owned())
                .filter(|argument| argument != "app" && argument != "webview")
                .collect();
            assert_eq!(found.insert(name.to_owned(), arguments), None, "{name} is there twice");
        }
    }
    found
}

#[test]
fn every_command_is_handled_and_has_a_permission_of_one_set() {
    let named: Names = commands().into_keys().collect();
    assert!(named.len() > 25, "{named:?}");
    let handled: Names = pieces(inside(&read("src/commands.rs"), "generate_handler!["))
        .into_iter()
        .map(|path| path.rsplit(':').next().unwrap().to_owned())
        .collect();
    assert_eq!(handled, named);
    assert_eq!(quoted(inside(&read("build.rs"), "COMMANDS: &[&str] = &[")), named);

    let permissions = read("permissions/default.toml");
    let mut granted = Names::new();
    for list in permissions.split("permissions = [").skip(1) {
        for permission in quoted(list.split(']').next().unwrap()) {
            let command = permission.strip_prefix("allow-").unwrap().replace('-', "_");
            assert!(granted.insert(command), "{permission} is in two sets");
        }
    }
    assert_eq!(granted, named);
}

#[test]
fn what_changes_something_is_not_in_the_default() {
    let permissions = read("permissions/default.toml");
    let default = quoted(permissions.split("permissions = [").nth(1).unwrap().split(']').next().unwrap());
    let reading = ["read", "list", "subscribe", "unsubscribe", "acknowledge", "watch"];
    for permission in default {
        let verb = permission.strip_prefix("allow-").unwrap().split('-').next().unwrap().to_owned();
        assert!(reading.contains(&verb.as_str()), "{permission} is on by default");
    }
}

#[test]
fn the_guest_invokes_each_command_with_its_arguments() {
    let (guest, commands) = (read("guest-js/index.js"), commands());
    let mut invoked: BTreeMap<String, Names> = BTreeMap::new();
    for call in guest.split("invoke('").skip(1) {
        let (name, rest) = call.split_once('\'').unwrap();
        let arguments = match rest.strip_prefix(", ") {
            Some(object) => pieces(inside(object, "{"))
                .into_iter()
                .map(|member| member.split(':').next().unwrap().trim().to_owned())
                .collect(),
            None => Names::new(),
        };
        invoked.insert(name.to_owned(), arguments);
    }
    for call in guest.split("Subscription.begin('").skip(1) {
        let (name, rest) = call.split_once('\'').unwrap();
        let mut arguments: Names = pieces(inside(rest, "{")).into_iter().map(str::to_owned).collect();
        arguments.insert("channel".to_owned());
        invoked.insert(name.to_owned(), arguments);
    }
    assert_eq!(invoked, commands);
}

/// Names that a text exports, by what comes before them.
fn exported(text: &str, kinds: &[&str]) -> Names {
    let mut names = Names::new();
    for kind in kinds {
        for rest in text.split(&format!("\nexport {kind} ")).skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap();
            names.insert(rest[..end].to_owned());
        }
    }
    names
}

#[test]
fn the_types_declare_what_the_guest_exports_with_as_many_parameters() {
    let (guest, types) = (read("guest-js/index.js"), read("guest-js/index.d.ts").replace("=>", "returns"));
    assert_eq!(exported(&guest, &["const", "async function", "class"]), exported(&types, &["function", "class"]));
    for name in exported(&types, &["function"]) {
        let starts = ["(", "<"].map(|end| format!("export function {name}{end}"));
        let start = starts.iter().find_map(|start| types.find(start)).unwrap();
        let declared = &types[start..];
        let declared = pieces(inside(declared, "(")).len();
        let written = guest.split(&format!("export const {name} = ")).nth(1);
        let written = written.or_else(|| guest.split(&format!("export async function {name}(")).nth(1)).unwrap();
        let of = |text: &str| pieces(inside(text, "(")).len();
        let written =
            if guest.contains(&format!("export const {name} = ")) { of(written) } else { of(&format!("({written}")) };
        assert_eq!(written, declared, "{name}");
    }
    // Every kind of error, and no other.
    let codes: Names = types
        .split("export type ErrorCode =")
        .nth(1)
        .unwrap()
        .split("(string")
        .next()
        .unwrap()
        .split('\'')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    let kinds: Names = highwater::ErrorKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    assert_eq!(codes, kinds);
}
