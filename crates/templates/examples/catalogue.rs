//! Prints docs/catalogue.md: `cargo xtask catalogue` writes it.
#![allow(clippy::disallowed_macros)] // an example prints

fn main() {
    print!("{}", highwater_templates::catalogue());
}
