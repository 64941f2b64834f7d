//! `cargo xtask catalogue`: writes docs/catalogue.md.

use std::path::Path;

use crate::process::{self, cargo};

pub(crate) fn run(_arguments: &[String]) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/catalogue.md");
    let page = process::capture(cargo(&["run", "--quiet", "-p", "highwater-templates", "--example", "catalogue"]))?;
    std::fs::write(&path, page).map_err(|error| format!("docs/catalogue.md: {error}"))?;
    println!("docs/catalogue.md is written");
    Ok(())
}
