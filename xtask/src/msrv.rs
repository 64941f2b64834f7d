//! `cargo xtask msrv`: fails if a package of `Cargo.lock` declares a later Rust version than ours.
//!
//! The other half of the check is clippy's `incompatible_msrv`, which the workspace denies: it finds uses of the standard
//! library that came later. Neither compiles anything with the declared version.

use serde_json::Value;

use crate::process::{self, cargo};

/// A Rust version as Cargo writes it: `1.90` or `1.90.0`.
type RustVersion = (u32, u32, u32);

pub(crate) fn run(_arguments: &[String]) -> Result<(), String> {
    let text = process::capture(cargo(&["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let ours = packages
        .iter()
        .filter(|package| package["source"].is_null())
        .filter_map(declared)
        .min()
        .ok_or("no package of the workspace declares a rust-version")?;
    let later: Vec<String> = packages
        .iter()
        .filter(|package| declared(package).is_some_and(|version| version > ours))
        .map(|package| format!("{} {} needs {}", package["name"], package["version"], package["rust_version"]))
        .collect();
    if !later.is_empty() {
        return Err(format!("the workspace declares Rust {}.{}, but {}", ours.0, ours.1, later.join(", ")));
    }
    let silent = packages.iter().filter(|package| declared(package).is_none()).count();
    println!(
        "Rust {}.{} suffices for all {} packages that say what they need; {silent} do not",
        ours.0,
        ours.1,
        packages.len() - silent
    );
    Ok(())
}

fn declared(package: &Value) -> Option<RustVersion> {
    version(package["rust_version"].as_str()?)
}

fn version(text: &str) -> Option<RustVersion> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("1.90"), Some((1, 90, 0)));
        assert!(version("1.100.0") > version("1.90"));
        assert_eq!(version("stable"), None);
    }
}
