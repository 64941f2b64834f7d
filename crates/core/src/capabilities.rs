//! What a store can do.

/// What a store can do, from [`Store::capabilities`](crate::Store::capabilities).
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
    /// Whether removed data is in no file after the store was compacted, if nothing was reading it in the meantime.
    pub erases: bool,
}

impl Capabilities {
    /// Returns the least: one process, nothing durable, nothing kept when the process ends.
    pub const fn new(name: &'static str) -> Self {
        Capabilities { name, multi_process: false, durable: false, persistent: false, erases: false }
    }

    /// Sets [`multi_process`](Capabilities::multi_process).
    #[must_use]
    pub const fn multi_process(mut self, yes: bool) -> Self {
        self.multi_process = yes;
        self
    }

    /// Sets [`durable`](Capabilities::durable).
    #[must_use]
    pub const fn durable(mut self, yes: bool) -> Self {
        self.durable = yes;
        self
    }

    /// Sets [`erases`](Capabilities::erases).
    #[must_use]
    pub const fn erases(mut self, yes: bool) -> Self {
        self.erases = yes;
        self
    }

    /// Sets [`persistent`](Capabilities::persistent).
    #[must_use]
    pub const fn persistent(mut self, yes: bool) -> Self {
        self.persistent = yes;
        self
    }
}
