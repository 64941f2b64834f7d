//! Real manifests under every misbehaviour of an API, over the recorded exchanges of that API, where they are at hand.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

use std::path::{Path, PathBuf};

use highwater_declarative::replay::read_manifest;
use highwater_declarative::{Registry, templates};
use highwater_testkit::matrix::recorded::Recordings;
use highwater_testkit::matrix::{Matrix, Subject};

/// Page numbers, offsets, cursors, links in the body, windows of time, and lists that are one answer.
const CONNECTORS: [&str; 10] = [
    "source-chartmogul",
    "source-coin-api",
    "source-exchange-rates",
    "source-gong",
    "source-google-webfonts",
    "source-k6-cloud",
    "source-klaus-api",
    "source-newsdata",
    "source-orbit",
    "source-pypi",
];

fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("HIGHWATER_SHARED").map(PathBuf::from);
    let beside = || {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().map(|folder| folder.join("shared")).find(|folder| folder.is_dir())
    };
    named.or_else(beside).map(|folder| folder.join("reference/manifests")).filter(|folder| folder.is_dir())
}

/// The streams of a connector that its recordings suffice for.
fn subjects(folder: &Path, connector: &str) -> Vec<Subject> {
    let manifest = read_manifest(&folder.join("connectors").join(connector), &Registry::new()).unwrap();
    let recordings = Recordings::read(&folder.join(format!("cassettes/{connector}.json.gz"))).unwrap();
    let templates = templates(connector, &manifest).unwrap().into_iter();
    templates.filter_map(|template| recordings.subject(template)).filter(|subject| subject.check().is_ok()).collect()
}

#[test]
fn manifests_bear_every_fault_of_an_api() {
    let Some(folder) = shared() else {
        println!("skipped: no shared folder with recorded exchanges");
        return;
    };
    let each: Vec<Vec<Subject>> = CONNECTORS.iter().map(|connector| subjects(&folder, connector)).collect();
    for (connector, subjects) in CONNECTORS.iter().zip(&each) {
        assert!(!subjects.is_empty(), "{connector}: no stream can be tried");
    }
    let report = Matrix::of(each.into_iter().flatten()).run();
    println!("{}", report.summary());
    let violations: Vec<_> = report.violations().collect();
    assert!(violations.is_empty(), "{violations:#?}");
}
