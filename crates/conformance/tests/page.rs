//! The example on the page `docs/write-a-store.md` is the store that is tested here.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

/// The text of the blocks of code that begin with a line.
fn blocks(page: &str, begin: &str) -> Vec<String> {
    let begin = format!("\n{begin}\n");
    page.split(&begin).skip(1).map(|part| part.split("\n```").next().unwrap_or_default().to_owned() + "\n").collect()
}

#[test]
fn the_page_shows_the_store_that_is_tested() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(here.join(path)).unwrap();
    let page = read("../../docs/write-a-store.md");
    assert_eq!(blocks(&page, "```rust"), [read("tests/shelf/my_store.rs")]);
    // There the store is a crate, here it lies beside the test.
    let test = read("tests/shelf.rs")
        .replace("#[allow(unreachable_pub)]\n#[path = \"shelf/my_store.rs\"]\nmod my_store;\n\n", "");
    assert_eq!(blocks(&page, "```rust,ignore"), [test]);
}
