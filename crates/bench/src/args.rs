//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::records::Ids;

/// Measures whole workloads of the stores beside the raw ceiling of the same run.
#[derive(Clone, Debug, Parser)]
#[command(name = "highwater-bench")]
pub(crate) struct Args {
    /// Which store to measure.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Stores,
    /// Records of about 1 KB.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=50_000_000))]
    pub(crate) records: u64,
    /// Records per commit.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) batch: u64,
    /// The order of the records' ids: `time` or `random`.
    #[arg(long, default_value = "time")]
    pub(crate) ids: Ids,
    /// How payloads are stored: `zstd` with a dictionary trained from the first records.
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) codec: Compressed,
    /// Measurements, each with its own raw one; figures are their medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) runs: u32,
    /// Where to put the files. Defaults to the system's temporary directory.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// Print one JSON object with every figure.
    #[arg(long)]
    pub(crate) json: bool,
    /// What this process measures: set by the process that gathers the figures.
    #[arg(long, hide = true)]
    pub(crate) only: Option<Subject>,
}

impl Args {
    pub(crate) fn workload(&self) -> Workload {
        Workload { records: self.records, batch: self.batch, ids: self.ids, codec: self.codec }
    }
}

/// What is done to a subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) records: u64,
    pub(crate) batch: u64,
    pub(crate) ids: Ids,
    pub(crate) codec: Compressed,
}

/// How payloads are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compressed {
    None,
    Zstd,
}

impl Compressed {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Compressed::None => "none",
            Compressed::Zstd => "zstd",
        }
    }
}

/// The stores to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stores {
    Sqlite,
    Redb,
    Sled,
    Memory,
    All,
}

impl Stores {
    pub(crate) fn subjects(self) -> &'static [Subject] {
        match self {
            Stores::Sqlite => &[Subject::Sqlite],
            Stores::Redb => &[Subject::Redb],
            Stores::Sled => &[Subject::Sled],
            Stores::Memory => &[Subject::Memory],
            Stores::All => &[Subject::Sqlite, Subject::Redb, Subject::Sled, Subject::Memory],
        }
    }
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    Raw,
    Sqlite,
    Redb,
    Sled,
    Memory,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Subject::Raw => "raw",
            Subject::Sqlite => "sqlite",
            Subject::Redb => "redb",
            Subject::Sled => "sled",
            Subject::Memory => "memory",
        }
    }
}
