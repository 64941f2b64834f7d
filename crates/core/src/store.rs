//! The storage interface that hosts, the engine and templates hold.

/// What a store can do. See each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// A short name for messages, such as `sqlite`.
    pub name: &'static str,
    /// Several processes may have the store open, and see each other's commits.
    pub multi_process: bool,
    /// A commit that returned survives a power cut.
    pub durable: bool,
    /// Records survive the process.
    pub persistent: bool,
}

impl Capabilities {
    /// The least: one process, nothing durable.
    pub const fn new(name: &'static str) -> Self {
        Capabilities { name, multi_process: false, durable: false, persistent: false }
    }
}
