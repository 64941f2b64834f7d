//! What a host's own JSON is like is the host's choice: cargo gives every crate of a program the features that any of
//! them asks for, so nothing of ours asks for one that changes what is written.

use std::path::Path;
use std::process::Command;

/// Features of `serde_json` that leave a host's JSON as it is.
const HARMLESS: [&str; 5] = ["alloc", "default", "float_roundtrip", "raw_value", "std"];

#[test]
fn no_feature_changes_the_json_of_a_host() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["tree", "--offline", "--locked", "-p", "highwater", "--all-features"]);
    cargo.args(["-e", "normal", "--prefix", "none", "-f", "{p} [{f}]"]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("highwater-declarative v"), "the tree has no manifests:\n{tree}");
    let line = tree.lines().find(|line| line.starts_with("serde_json v")).unwrap();
    let (_, features) = line.trim_end_matches(" (*)").trim_end_matches(']').split_once(" [").unwrap();
    for feature in features.split(',') {
        assert!(HARMLESS.contains(&feature), "serde_json with `{feature}`: {line}");
    }
}
