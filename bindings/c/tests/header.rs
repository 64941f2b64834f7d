//! The header is what cbindgen writes. `HIGHWATER_WRITE_HEADER=1` writes it anew.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

#[test]
fn the_header_is_that_of_the_functions() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new().with_config(config).with_src(here.join("src/abi.rs")).generate().unwrap();
    let mut written = Vec::new();
    bindings.write(&mut written);
    let (written, path) = (String::from_utf8(written).unwrap(), here.join("include/highwater.h"));
    if std::env::var_os("HIGHWATER_WRITE_HEADER").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written, "write it anew: HIGHWATER_WRITE_HEADER=1");
}
