//! `docs/bindings.md` lists what there is. `HIGHWATER_WRITE_PAGE=1` writes its tables anew.
#![allow(clippy::disallowed_methods)]

use std::sync::{Arc, Mutex};

use highwater_bindings::{Engine, Failure, HostRun, HostTemplate, OPERATIONS, Operation, RUN_COMMANDS};

/// The members that an operation takes: its refusal of an unknown one names them.
fn members(refusal: &Failure) -> String {
    let names: Vec<&str> = refusal.message().split('`').skip(1).step_by(2).filter(|name| !name.contains(' ')).collect();
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn rust(operation: &Operation) -> String {
    operation.rust.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn operations() -> String {
    let engine = Engine::open(r#"{"store": "memory"}"#, Vec::new()).unwrap();
    let rows = OPERATIONS.iter().map(|operation| {
        let refusal = engine.call(operation.name, r#"{"?": 1}"#).unwrap_err();
        let (name, about) = (operation.name, operation.about);
        format!("| `{name}` | {} | {} | {about} |\n", rust(operation), members(&refusal))
    });
    "| name | Rust | members of the argument | |\n|---|---|---|---|\n".to_owned() + &rows.collect::<String>()
}

fn commands() -> String {
    let refusals: Arc<Mutex<Vec<Failure>>> = Arc::default();
    let seen = Arc::clone(&refusals);
    let fetch = move |run: HostRun| {
        let seen = Arc::clone(&seen);
        std::thread::spawn(move || {
            let all = RUN_COMMANDS.iter().map(|command| run.call(command.name, r#"{"?": 1}"#).unwrap_err());
            seen.lock().unwrap().extend(all);
            run.end(Ok(()));
        });
    };
    let info =
        r#"{"provider": {"name": "demo", "base_url": "http://127.0.0.1:9"}, "name": "notes", "models": ["Note"]}"#;
    let template = HostTemplate::new(info, Arc::new(fetch)).unwrap();
    let engine = Engine::open(r#"{"store": "memory"}"#, vec![template]).unwrap();
    engine.call("connect", r#"{"connection": "c", "provider": "demo"}"#).unwrap();
    engine.call("run", r#"{"connection": "c", "sync": "demo/notes"}"#).unwrap();
    let refusals = refusals.lock().unwrap();
    let rows = RUN_COMMANDS.iter().zip(refusals.iter()).map(|(command, refusal)| {
        let (name, about) = (command.name, command.about);
        format!("| `{name}` | {} | {} | {about} |\n", rust(command), members(refusal))
    });
    "| name | Rust | members of the argument | |\n|---|---|---|---|\n".to_owned() + &rows.collect::<String>()
}

/// The page with a table behind its mark.
fn with_table(page: &str, mark: &str, table: &str) -> String {
    let (before, after) = page.split_once(mark).unwrap();
    let after = after.trim_start_matches('\n');
    let rest = if after.starts_with('|') { after.split_once("\n\n").unwrap().1 } else { after };
    format!("{before}{mark}\n\n{table}\n{rest}")
}

#[test]
fn the_page_lists_every_operation_with_its_members() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bindings.md");
    let page = std::fs::read_to_string(path).unwrap();
    let wanted = with_table(&page, "<!-- commands -->", &commands());
    let wanted = with_table(&wanted, "<!-- operations -->", &operations());
    if std::env::var_os("HIGHWATER_WRITE_PAGE").is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), wanted, "write it anew: HIGHWATER_WRITE_PAGE=1");
}
