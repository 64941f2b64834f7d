//! Real manifests under every misbehaviour of an API, over the recorded exchanges of that API, where they are at hand.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::path::Path;

use highwater_declarative::replay::read_manifest;
use highwater_declarative::{Registry, templates};
use highwater_testkit::matrix::recorded::Recordings;
use highwater_testkit::matrix::{Matrix, Subject};
use support::shared;

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
