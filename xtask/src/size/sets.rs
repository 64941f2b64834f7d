//! The feature sets that are measured, with their limits.

/// What a host turns on.
pub(super) struct Set {
    pub(super) name: &'static str,
    /// Features of `xtask/host`.
    pub(super) features: &'static [&'static str],
    /// The limits, on x86-64 Linux; bytes have one where they were measured.
    pub(super) crates: u64,
    pub(super) bytes: Option<u64>,
}

/// The limits are the figures of `docs/embedding.md`: lower them when a figure falls.
pub(super) const SETS: &[Set] = &[
    Set { name: "core", features: &["core"], crates: 37, bytes: Some(1_941_520) },
    Set { name: "sqlite", features: &["sqlite"], crates: 47, bytes: Some(3_867_032) },
    Set { name: "redb", features: &["redb"], crates: 39, bytes: Some(2_985_688) },
    Set { name: "engine", features: &["sqlite", "engine"], crates: 65, bytes: None },
    Set { name: "http", features: &["sqlite", "http"], crates: 79, bytes: None },
    Set { name: "default", features: &["default-facade"], crates: 81, bytes: Some(10_466_712) },
    Set { name: "encryption", features: &["default-facade", "encryption"], crates: 89, bytes: None },
    Set { name: "zstd", features: &["default-facade", "zstd"], crates: 85, bytes: None },
    Set { name: "vault", features: &["default-facade", "vault"], crates: 90, bytes: None },
    Set { name: "keychain", features: &["default-facade", "keychain"], crates: 91, bytes: None },
    Set { name: "sign_in", features: &["default-facade", "sign-in"], crates: 113, bytes: None },
    Set { name: "server", features: &["default-facade", "server"], crates: 134, bytes: None },
    Set { name: "provider_files", features: &["default-facade", "provider-files"], crates: 110, bytes: None },
    Set { name: "declarative", features: &["default-facade", "declarative"], crates: 130, bytes: None },
];

/// The command, which has everything.
pub(super) const COMMAND: &str = "cli";
pub(super) const COMMAND_CRATES: u64 = 262;
pub(super) const COMMAND_BYTES: Option<u64> = None;
