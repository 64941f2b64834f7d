//! A program that uses what its features turn on. `cargo xtask size` counts its crates and its bytes; without features it
//! is the empty program that the others are compared with.

#[cfg(feature = "core")]
mod log;
#[cfg(feature = "engine")]
mod syncs;

#[cfg(not(feature = "core"))]
fn main() {}

#[cfg(all(feature = "core", not(feature = "engine")))]
fn main() -> highwater::Result<()> {
    log::follow(&highwater::blocking::Store::new(log::open()?))
}

#[cfg(feature = "engine")]
fn main() -> highwater::Result<()> {
    let store = log::open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| {
        highwater::Error::new(highwater::ErrorKind::Unavailable, "the runtime did not start").because(source)
    })?;
    runtime.block_on(syncs::run(std::sync::Arc::clone(&store)))?;
    log::follow(&highwater::blocking::Store::new(store))
}
