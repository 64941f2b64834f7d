//! The global flag, and the options that several commands share. A command's own options are next to it in `commands/`.

pub(crate) mod run_filter;
pub(crate) mod values;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum};

use crate::catalogue::CatalogueOptions;
use crate::commands::Command;
use crate::vaults::VaultOptions;

/// The heading of options about the store, in the help of every command.
pub(crate) const STORE: &str = "Store";

/// Sync an API into an embedded store and follow it by cursor.
#[derive(Debug, Parser)]
#[command(
    name = "highwater",
    version,
    about,
    after_help = "Start with:  highwater demo\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."
)]
pub(crate) struct Arguments {
    /// Print JSON, one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The store's file unless the user names another.
pub(crate) const DEFAULT_DB: &str = "highwater.db";

#[derive(Clone, Debug, Args)]
pub(crate) struct StoreOptions {
    /// The store's file (for sled, directory).
    #[arg(help_heading = STORE, long, default_value = DEFAULT_DB, env = "HIGHWATER_DB")]
    pub(crate) db: PathBuf,
    /// The kind of store.
    #[arg(help_heading = STORE, long, value_enum, default_value = "sqlite")]
    pub(crate) store: StoreKind,
    #[command(flatten)]
    pub(crate) codec: CodecOptions,
    #[command(flatten)]
    pub(crate) vault: VaultOptions,
    #[command(flatten)]
    pub(crate) catalogue: CatalogueOptions,
}

impl StoreOptions {
    /// The options as another command on the store needs them, each after a space, for lines that say what to do next.
    pub(crate) fn repeated(&self) -> String {
        let path = |path: &PathBuf| quoted(&path.display().to_string());
        let mut text = String::new();
        let mut add = |option: &str, value: String| text += &format!(" --{option} {value}");
        if self.db != Path::new(DEFAULT_DB) {
            add("db", path(&self.db));
        }
        match self.store {
            StoreKind::Sqlite => {}
            StoreKind::Redb => add("store", "redb".to_owned()),
            StoreKind::Sled => add("store", "sled".to_owned()),
        }
        self.codec.key_env.iter().for_each(|name| add("key-env", quoted(name)));
        self.codec.dictionary.iter().for_each(|file| add("dictionary", path(file)));
        self.vault.vault_key.iter().for_each(|place| add("vault-key", quoted(place)));
        self.catalogue.provider_file.iter().for_each(|file| add("provider-file", path(file)));
        self.catalogue.manifest.iter().for_each(|file| add("manifest", path(file)));
        text
    }
}

/// A word of a shell's command line.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/\\._-:=+@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Keys and dictionaries of encrypted or compressed payloads.
#[derive(Clone, Debug, Args)]
pub(crate) struct CodecOptions {
    /// The environment variable with a key of an encrypted store, as 64 hexadecimal digits. May be repeated, with the
    /// number of each key (`2=NEW_KEY`); the first key is used for writing.
    #[arg(help_heading = STORE, long, value_name = "[NUMBER=]NAME")]
    pub(crate) key_env: Vec<String>,
    /// The number of a key that `--key-env` gives without one.
    #[arg(help_heading = STORE, long, default_value_t = 1, requires = "key_env")]
    pub(crate) key_number: u8,
    /// A zstd dictionary that payloads were compressed with. May be repeated; the first one is used for writing.
    #[arg(help_heading = STORE, long, value_name = "FILE")]
    pub(crate) dictionary: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    Sqlite,
    Redb,
    Sled,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StreamOptions {
    /// The model, such as `Issue`.
    pub(crate) model: String,
    /// The connection, if several have the model.
    #[arg(long)]
    pub(crate) connection: Option<String>,
    /// The variant, if there are several.
    #[arg(long)]
    pub(crate) variant: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

/// The sync that a command acts on.
#[derive(Clone, Debug, Args)]
pub(crate) struct SyncName {
    /// The connection's id.
    pub(crate) connection: String,
    /// The template, such as `github/issues`, optionally with a variant: `github/issues::open`.
    pub(crate) sync: String,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
