//! The application in a real window, against a demo API in this process. `cargo xtask acceptance tauri` runs it under Xvfb.
#![cfg(feature = "e2e")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use highwater_testkit::demo::{Crm, MODELS};
use serde_json::Value;
use support::{Application, Look, command, until};
use tauri_plugin_highwater::highwater::{Cursor, SqliteStore, StoreExt, StreamKey};
use tokio::runtime::Runtime;

const SYNC: &str = r#"input[data-sync="crm/records"]"#;

/// A reader of its own, in another process than the application: by cursor, from page to page.
struct Reader {
    store: SqliteStore,
    stream: StreamKey,
    cursor: Cursor,
    records: BTreeMap<String, Value>,
}

impl Reader {
    fn new(data: &Path, model: &str) -> Self {
        let store = SqliteStore::open(data.join("highwater.db")).unwrap();
        Reader { store, stream: StreamKey::new("demo", model), cursor: Cursor::START, records: BTreeMap::new() }
    }

    /// Reads what is new. Returns the number of changes.
    fn catch_up(&mut self, runtime: &Runtime) -> usize {
        let mut changes = 0;
        loop {
            let reading = self.store.records(&self.stream).since(self.cursor).limit(1000);
            let page = runtime.block_on(reading.page()).unwrap();
            for change in &page.changes {
                changes += 1;
                match &change.record.payload {
                    Some(payload) => self.records.insert(change.record.id.to_string(), payload.to().unwrap()),
                    None => self.records.remove(&*change.record.id),
                };
            }
            self.cursor = page.next_cursor;
            if page.caught_up {
                return changes;
            }
        }
    }
}

fn of_api(crm: &Crm, model: &str) -> BTreeMap<String, Value> {
    crm.records(model).into_iter().map(|record| (record["id"].to_string(), record)).collect()
}

/// One window at a time: the application runs once on a machine.
static WINDOW: Mutex<()> = Mutex::new(());

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("desktop");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn a_person_connects_an_account_watches_it_and_loses_nothing_to_an_end() {
    if std::env::var_os("DISPLAY").is_none() {
        println!("skipped: there is no display; run it by `cargo xtask acceptance tauri`");
        return;
    }
    let _window = WINDOW.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Runtime::new().unwrap();
    let (crm, demo) = runtime.block_on(Crm::start_with([5000, 120, 280])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (data, pictures) = (folder.path(), pictures());

    // Connects an account.
    let window = Application::start(data, &demo, Look::Light);
    assert!(window.is_shown("#connect-demo"), "the first screen offers an account");
    window.resize(1280, 800);
    window.picture(&pictures.join("welcome-light.png"));
    window.click("#connect-demo");
    until("the syncs", || window.is_shown("#syncs").then_some(()));

    // Toggles a template; the API stops to answer in the middle of the first sync, and a person quits.
    crm.answer_lists(5);
    window.click(&format!(".switch:has({SYNC})"));
    until("the first pages", || (window.text(".card .facts").contains("Syncing")).then_some(()));
    let mut contacts = Reader::new(data, "Contact");
    until("a thousand contacts", || (contacts.catch_up(&runtime) > 0 || contacts.records.len() >= 1000).then_some(()));
    until("five pages", || {
        contacts.catch_up(&runtime);
        (contacts.records.len() == 1000).then_some(())
    });
    // A second start shows this window and ends.
    let second = command(data, &demo, 1, Look::Light).stdout(Stdio::null()).status().unwrap();
    assert!(second.success(), "a second start: {second}");
    assert!(window.quit().success());

    // The next start continues there, and is killed in the middle.
    crm.answer_lists(4);
    let window = Application::start(data, &demo, Look::Light);
    until("four more pages", || {
        contacts.catch_up(&runtime);
        (contacts.records.len() == 1800).then_some(())
    });
    window.kill();

    // The third start reads the rest: nothing is lost, nothing comes twice.
    crm.answer_lists(usize::MAX);
    let window = Application::start(data, &demo, Look::Light);
    window.resize(1280, 800);
    until("all contacts", || {
        contacts.catch_up(&runtime);
        (contacts.records.len() == 5000).then_some(())
    });
    assert_eq!(contacts.records, of_api(&crm, "Contact"));
    for model in MODELS {
        let mut reader = Reader::new(data, model);
        let wanted = of_api(&crm, model);
        until(model, || {
            reader.catch_up(&runtime);
            (reader.records.len() == wanted.len()).then_some(())
        });
        assert_eq!(reader.records, wanted);
        let mut again = Reader::new(data, model);
        assert_eq!(again.catch_up(&runtime), wanted.len(), "one entry of the log for each record");
    }

    // A change upstream appears in the table.
    until("all contacts in the window", || (window.contacts_shown() >= 5000).then_some(()));
    crm.add_contact("Zoe Zimmermann");
    until("the new contact", || window.text("#rows tr:first-child").contains("Zoe Zimmermann").then_some(()));
    // What an API says is text, never markup.
    crm.add_contact("<img src=x onerror=\"document.title='run'\">");
    until("the hostile contact", || window.text("#rows tr:first-child").contains("<img src=x").then_some(()));
    assert_eq!(window.script("return document.querySelectorAll('#rows img').length"), 0);
    let ids: BTreeSet<String> = ["Ada Lovelace", "Grace Hopper"].map(|name| crm.add_contact(name).to_string()).into();
    until("both", || {
        let shown = window.script("return [...document.querySelectorAll('#rows tr.new')].map(row => row.dataset.id)");
        let shown: BTreeSet<&str> = shown.as_array()?.iter().filter_map(Value::as_str).collect();
        ids.iter().all(|id| shown.contains(id.as_str())).then_some(())
    });
    walk(&window, &pictures, "light");

    // Turned off, nothing more arrives; turned on, it goes on.
    window.click(r#"nav [data-view="syncs"]"#);
    window.click(&format!(".switch:has({SYNC})"));
    until("off", || window.text(".card .facts").contains("Off").then_some(()));
    contacts.catch_up(&runtime);
    crm.add_contact("While it was off");
    window.click(&format!(".switch:has({SYNC})"));
    until("the contact of meanwhile", || {
        contacts.catch_up(&runtime);
        (contacts.records == of_api(&crm, "Contact")).then_some(())
    });

    // An API that is away is a state in words.
    drop(contacts);
    assert!(window.quit().success());
    assert!(!data.join("highwater.db-wal").exists(), "the store was closed");
    let away = Application::start(data, "http://127.0.0.1:1", Look::Dark);
    away.click(r#"nav [data-view="syncs"]"#);
    until("offline", || away.text(".card .facts").contains("Offline").then_some(()));
    away.picture(&pictures.join("offline-dark.png"));
    assert!(away.quit().success());

    let dark = Application::start(data, &demo, Look::Dark);
    dark.resize(1280, 800);
    until("all contacts again", || (dark.contacts_shown() >= 5000).then_some(()));
    walk(&dark, &pictures, "dark");
    dark.click(r#"nav [data-view="syncs"]"#);
    dark.click("#disconnect");
    dark.click(r#"#confirm [value="yes"]"#);
    until("the first screen", || dark.is_shown("#connect-demo").then_some(()));
    assert!(dark.quit().success());
    println!("pictures: {}", pictures.display());
}

/// Pictures of each view, wide and narrow.
fn walk(window: &Application, pictures: &Path, look: &str) {
    for (width, size) in [(1280, "wide"), (480, "narrow")] {
        window.resize(width, 800);
        for view in ["records", "syncs", "log"] {
            window.click(&format!(r#"nav [data-view="{view}"]"#));
            until(view, || window.is_shown(&format!("#{view}")).then_some(()));
            if view == "log" {
                until("runs", || window.is_shown("#runs tr").then_some(()));
            }
            let over = window.script("return document.documentElement.scrollWidth > innerWidth");
            assert_eq!(over, false, "{view} is wider than a {size} window");
            window.picture(&pictures.join(format!("{view}-{look}-{size}.png")));
        }
    }
    window.resize(1280, 800);
    window.click(r#"nav [data-view="records"]"#);
}

#[test]
fn a_store_that_cannot_be_opened_is_shown_in_words() {
    if std::env::var_os("DISPLAY").is_none() {
        println!("skipped: there is no display; run it by `cargo xtask acceptance tauri`");
        return;
    }
    let _window = WINDOW.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("highwater.db"), "this is no store".repeat(10_000)).unwrap();
    let window = Application::start(folder.path(), "http://127.0.0.1:1", Look::Light);
    assert!(window.is_shown("#notice"));
    assert!(window.text("#notice").contains("What to do"), "{}", window.text("#notice"));
    window.picture(&pictures().join("failed-light.png"));
    assert!(window.quit().success());
}
