//! `cargo xtask catalogue`: writes docs/catalogue.md.

use std::path::Path;

pub(crate) fn run(_arguments: &[String]) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/catalogue.md");
    std::fs::write(&path, highwater_templates::catalogue()).map_err(|error| format!("docs/catalogue.md: {error}"))?;
    println!("docs/catalogue.md is written");
    Ok(())
}
