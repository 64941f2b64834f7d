//! The OpenAPI document: that programs of others can read it, and the page that is made of it, `docs/api.md`.
//!
//! `HIGHWATER_REFRESH=1 cargo test -p highwater-server --test api` writes the page anew.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

#[path = "api/page.rs"]
mod page;
#[path = "api/python.rs"]
mod python;

use std::path::Path;

#[test]
fn the_page_says_what_the_document_says() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let page = page::page(&serde_json::from_str(highwater_server::openapi()).unwrap());
    if std::env::var_os("HIGHWATER_REFRESH").is_some() {
        std::fs::write(&place, &page).unwrap();
    }
    let known = std::fs::read_to_string(place).unwrap_or_default();
    assert!(known == page, "docs/api.md is not as the routes are: run this test with HIGHWATER_REFRESH=1");
}

/// PyPI's `openapi-spec-validator` knows the whole of OpenAPI 3.1, and the dialect of JSON Schema in it.
#[test]
fn a_validator_of_others_accepts_the_document() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, highwater_server::openapi()).unwrap();
    let Some(python) = python::with("openapi-spec-validator==0.9.0") else { return };
    let output = std::process::Command::new(python.join("openapi-spec-validator")).arg(&file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    println!("{said}");
}
