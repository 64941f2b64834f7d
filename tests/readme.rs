//! The README's five steps, word for word, on every course that a stream can take: the copy is what the source has.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater::maintenance::{Maintenance, PruneWhat};
use highwater::{Cursor, ErrorKind, MemoryStore, Result, Store, StoreExt, StreamKey, WriteBatch};
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Issue {
    title: String,
}

/// A host: what it holds, and its cursor.
#[derive(Default)]
struct MyApp {
    held: BTreeMap<String, Issue>,
    cursor: Option<Cursor>,
}

impl MyApp {
    fn load_cursor(&self) -> Cursor {
        self.cursor.unwrap_or(Cursor::START)
    }

    fn store_cursor(&mut self, cursor: Cursor) {
        self.cursor = Some(cursor);
    }

    fn put(&mut self, id: &str, issue: Issue) {
        self.held.insert(id.to_owned(), issue);
    }

    fn remove(&mut self, id: &str) {
        self.held.remove(id);
    }

    fn show_problem(&self, problem: Option<String>) {
        panic!("{problem:?}");
    }
}

/// Steps 2 to 5, as they stand in the README.
#[rustfmt::skip] // as it stands in the README
async fn five_steps(store: &Arc<MemoryStore>, my_app: &mut MyApp) -> Result<()> {
    let issues = issues();
    // README begins
    let mut cursor = my_app.load_cursor();          // 2. load the cursor
    loop {
        let page = store.records_as::<Issue>(&issues).since(cursor).limit(500).page().await?; // 3. fetch
        for change in page.changes {                // 4. store the records
            match change.value {
                _ if change.net.removes() => my_app.remove(&change.id),
                Some(Ok(issue)) => my_app.put(&change.id, issue),
                Some(Err(error)) => my_app.show_problem(Some(error.to_string())), // no `Issue`: the page goes on
                None => {}                          // its content was pruned: what the app has stays
            }
        }
        cursor = page.next_cursor;
        my_app.store_cursor(cursor);                // 5. store the cursor
        if page.caught_up {
            break;
        }
    }
    // README ends
    Ok(())
}

fn issues() -> StreamKey {
    StreamKey::new("cargo", "Issue")
}

#[test]
fn what_is_tried_here_is_what_the_readme_says() {
    let lines = |text: &str, from: &str, until: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim).skip_while(|line| !line.contains(from));
        lines.take_while(|line| !line.contains(until)).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    };
    let source = include_str!("readme.rs");
    let tried = lines(source, "// README begins", "// README ends");
    let told = lines(include_str!("../README.md"), "let mut cursor = my_app.load_cursor();", "let state");
    assert_eq!(told, tried[1..]);
}

struct Course {
    store: Arc<MemoryStore>,
    source: BTreeMap<String, Issue>,
}

impl Course {
    async fn put(&mut self, id: &str, title: &str) {
        let mut batch = WriteBatch::new();
        batch.on(&issues()).upsert(format!(r#"{{"id":"{id}","title":"{title}"}}"#));
        self.store.commit(batch).await.unwrap();
        self.source.insert(id.to_owned(), Issue { title: title.to_owned() });
    }

    async fn delete(&mut self, id: &str) {
        let mut batch = WriteBatch::new();
        batch.on(&issues()).delete(id);
        self.store.commit(batch).await.unwrap();
        self.source.remove(id);
    }

    async fn prune(&self, what: PruneWhat) {
        let up_to = self.store.head(&issues()).await.unwrap().high_water;
        self.store.maintain(Maintenance::Prune { stream: issues(), what, up_to }).await.unwrap();
    }

    async fn comes_to_the_source(&self, my_app: &mut MyApp, when: &str) {
        five_steps(&self.store, my_app).await.unwrap();
        assert_eq!(my_app.held, self.source, "{when}");
    }
}

#[tokio::test]
async fn the_five_steps_hold_whatever_was_pruned() {
    let mut course = Course { store: Arc::new(MemoryStore::new().unwrap()), source: BTreeMap::new() };
    let mut my_app = MyApp::default();
    for id in ["a", "b", "c", "d"] {
        course.put(id, "one").await;
    }
    course.comes_to_the_source(&mut my_app, "at first").await;

    course.prune(PruneWhat::Payloads).await;
    course.comes_to_the_source(&mut my_app, "payloads were pruned").await;
    my_app.cursor = None;
    course.comes_to_the_source(&mut my_app, "read from the start, though its copy is there").await;
    course.put("a", "one").await;
    course.put("b", "two").await;
    course.comes_to_the_source(&mut my_app, "pruned payloads came again, as they were and changed").await;

    course.delete("c").await;
    course.comes_to_the_source(&mut my_app, "deleted").await;
    course.delete("d").await;
    course.put("d", "anew").await;
    course.comes_to_the_source(&mut my_app, "deleted and made anew between two pages").await;
    course.put("e", "short").await;
    course.delete("e").await;
    course.comes_to_the_source(&mut my_app, "came and went between two pages").await;

    course.prune(PruneWhat::Tombstones).await;
    course.put("c", "back").await;
    course.comes_to_the_source(&mut my_app, "back after its tombstone was pruned").await;

    let far_behind = my_app.load_cursor();
    course.delete("a").await;
    course.prune(PruneWhat::Tombstones).await;
    assert_eq!(my_app.load_cursor(), far_behind);
    let error = five_steps(&course.store, &mut my_app).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CursorExpired, "it would not be told of `a`");
    // As the error says.
    my_app = MyApp::default();
    course.comes_to_the_source(&mut my_app, "begun anew").await;

    course.store.maintain(Maintenance::Clear(issues())).await.unwrap();
    course.source.clear();
    assert_eq!(five_steps(&course.store, &mut my_app).await.unwrap_err().kind(), ErrorKind::CursorExpired);
}
