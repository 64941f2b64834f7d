//! `highwater templates new NAME`: creates a crate for a new template.

use std::fs;
use std::path::Path;

use highwater::{Error, ErrorKind, Result};

use crate::output::Output;

const MANIFEST: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"

# Before the first release, from a checkout: { path = "../highwater/crates/template" }, and the same with testkit.
[dependencies]
async-trait = "0.1"
highwater-template = "VERSION"

[dev-dependencies]
highwater-testkit = "VERSION"
tokio = { version = "1", features = ["macros", "rt", "test-util"] }
"#;

const LIBRARY: &str = include_str!("scaffold/lib.rs.txt");

pub(crate) fn run(name: &str, output: &Output) -> Result<()> {
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if !well_formed {
        return Err(Error::new(
            ErrorKind::Invalid,
            "the name of a template's crate consists of lower-case letters, digits, `-` and `_`",
        )
        .with("name", name));
    }
    let folder = Path::new(name);
    if folder.exists() {
        return Err(Error::new(ErrorKind::Invalid, "a file or folder of that name already exists")
            .with("path", folder.display()));
    }
    let written = |source| {
        Error::new(ErrorKind::PermissionDenied, "the crate cannot be written").with("path", name).because(source)
    };
    fs::create_dir_all(folder.join("src")).map_err(written)?;
    let manifest = MANIFEST.replace("NAME", name).replace("VERSION", env!("CARGO_PKG_VERSION"));
    fs::write(folder.join("Cargo.toml"), manifest).map_err(written)?;
    fs::write(folder.join("src/lib.rs"), LIBRARY.replace("PROVIDER", name)).map_err(written)?;
    output.line(format!("{name}/Cargo.toml and {name}/src/lib.rs are written"));
    output.line(format!("Next: cd {name} && cargo test"));
    Ok(())
}
