//! The recorded exchanges of the reference implementation: our own small manifests, and real ones where they are at hand.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod support;

use std::path::PathBuf;

use highwater_declarative::Registry;
use highwater_declarative::replay::{read_manifest, replay_folders};
use support::shared;

#[test]
fn manifests_that_run_have_no_faults_to_find() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference/connectors");
    for entry in std::fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(manifest) = read_manifest(&folder, &Registry::new()) else { continue };
        let faults: Vec<_> = manifest.findings().into_iter().filter(|finding| finding.is_fault).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", folder.display());
    }
}

#[tokio::test]
async fn manifests_behave_as_in_the_reference_implementation() {
    let Some(folder) = shared() else {
        println!("skipped: no shared folder with recorded exchanges");
        return;
    };
    let report = replay_folders(&folder.join("connectors"), &folder.join("cassettes"), &Registry::new()).await.unwrap();
    for stream in report.different() {
        println!("{}/{}: {}", stream.connector, stream.stream, stream.difference.as_deref().unwrap_or_default());
    }
    println!("identical {} of {} streams", report.identical(), report.streams.len());
    assert!(report.identical() >= 345, "identical {} of {} streams", report.identical(), report.streams.len());
}

#[tokio::test]
async fn each_component_behaves_as_in_the_reference_implementation() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference");
    let report = replay_folders(&folder.join("connectors"), &folder.join("cassettes"), &Registry::new()).await.unwrap();
    let different: Vec<String> = report
        .different()
        .map(|stream| format!("{}/{}: {}", stream.connector, stream.stream, stream.difference.as_deref().unwrap_or("")))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(report.identical() > 100, "only {} streams were replayed", report.identical());
}
