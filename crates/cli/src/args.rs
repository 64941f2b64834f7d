//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use highwater::consumer::Seek;
use highwater::cursor::Action;
use highwater::{Cursor, Timestamp};

use crate::commands::consumers::ConsumersOptions;
use crate::commands::control::{DisableOptions, DisconnectOptions, EnableOptions, SyncName, TriggerOptions};
use crate::commands::maintain::MaintainOptions;
use crate::commands::recode::RecodeOptions;
use crate::commands::runs::{LogsOptions, RunsOptions};
use crate::commands::try_out::{ActOptions, DryRunOptions, ProxyOptions};
use crate::commands::webhooks::WebhooksOptions;

/// Sync an API into an embedded store and follow it by cursor.
#[derive(Debug, Parser)]
#[command(
    name = "highwater",
    version,
    about,
    after_help = "Begin with:  highwater demo\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."
)]
pub(crate) struct Arguments {
    /// Print JSON, one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the templates, show one, and work with declarative manifests.
    Templates(TemplatesOptions),
    /// Sync a template into a store, once or again and again.
    Sync(SyncOptions),
    /// Show what a template would save, without a store.
    #[command(name = "dryrun")]
    DryRun(DryRunOptions),
    /// Do an action of a provider, such as opening an issue.
    Act(ActOptions),
    /// Send any request with a provider's credentials.
    Proxy(ProxyOptions),
    /// Print records: a page of the modification log.
    Records(RecordsOptions),
    /// Print single records by id.
    Get(GetOptions),
    /// Print each modification as it lands; goes on where it stopped.
    Tail(TailOptions),
    /// Show streams, syncs and consumers of a store.
    Status(StoreOptions),
    /// List the readers whose position the store keeps; show, move or remove one.
    Consumers(ConsumersOptions),
    /// List runs, show one with its log, approve or reject its deletes.
    Runs(RunsOptions),
    /// Print log lines of runs.
    Logs(LogsOptions),
    /// List where webhooks go, what waits and what was given up; try that again.
    Webhooks(WebhooksOptions),
    /// Let a template run by schedule for a connection.
    Enable(EnableOptions),
    /// Turn a sync off.
    Disable(DisableOptions),
    /// Remove a connection with its syncs and their schedules.
    Disconnect(DisconnectOptions),
    /// Keep a sync from running until it is resumed.
    Pause(SyncName),
    /// Let a paused sync run again.
    Resume(SyncName),
    /// Ask for a run of an enabled sync.
    Trigger(TriggerOptions),
    /// Recount every stream and compare.
    Doctor(StoreOptions),
    /// Write every payload anew: encrypted, with another key, with another dictionary, or plainly.
    Recode(RecodeOptions),
    /// Accept the clock, remove what is not to be kept, give space back.
    Maintain(MaintainOptions),
    /// Make an SQL view of a model's records (SQLite).
    SqlView(SqlViewOptions),
    /// Watch an embedded demo API being synced: no account, no internet.
    Demo(DemoOptions),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    Sqlite,
    Redb,
    Sled,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StoreOptions {
    /// The store's file (for sled, directory).
    #[arg(long, default_value = "highwater.db", env = "HIGHWATER_DB")]
    pub(crate) db: PathBuf,
    /// The kind of store.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: StoreKind,
    #[command(flatten)]
    pub(crate) codec: CodecOptions,
}

/// How payloads are read that are encrypted or compressed.
#[derive(Clone, Debug, Args)]
pub(crate) struct CodecOptions {
    /// The environment variable that holds a key of an encrypted store, as 64 hexadecimal digits. May be given several
    /// times, with the number of each key (`2=NEW_KEY`): the first encrypts what is written.
    #[arg(long, value_name = "[NUMBER=]NAME")]
    pub(crate) key_env: Vec<String>,
    /// The number of a key that is given without one.
    #[arg(long, default_value_t = 1, requires = "key_env")]
    pub(crate) key_number: u8,
    /// A zstd dictionary that payloads were compressed with. May be given several times: the first compresses what is
    /// written.
    #[arg(long, value_name = "FILE")]
    pub(crate) dictionary: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TemplatesOptions {
    #[command(subcommand)]
    pub(crate) command: Option<TemplatesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TemplatesCommand {
    /// List the templates (what happens without a subcommand).
    List,
    /// Details of one template.
    Show {
        /// Its name, such as `github/issues`.
        name: String,
    },
    /// Write a crate to begin a template with.
    New {
        /// The crate's name.
        name: String,
    },
    /// Check a declarative manifest: its streams, and what keeps some of them from running.
    Check {
        /// The manifest, or the folder it lies in.
        file: PathBuf,
    },
    /// Try templates against every misbehaviour that APIs are known for, in memory and in virtual time.
    Trial(TrialOptions),
    /// Compare manifests with recorded exchanges of the reference implementation.
    Replay {
        /// A folder with a folder for each connector.
        #[arg(long)]
        connectors: PathBuf,
        /// A folder with `CONNECTOR.json.gz` files.
        #[arg(long)]
        cassettes: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TrialOptions {
    /// A template, such as `github/issues`, or a provider; or a manifest, with `--cassette`.
    #[arg(required_unless_present_any = ["all", "faults"])]
    pub(crate) template: Option<String>,
    /// Try every template.
    #[arg(long, conflicts_with = "template")]
    pub(crate) all: bool,
    /// Only the fault of this name, or the faults whose names begin so: `redirect`, `limit-429`.
    #[arg(long, value_name = "NAME")]
    pub(crate) fault: Option<String>,
    /// A manifest's recorded exchanges: the sound API that the faults are laid over.
    #[arg(long, value_name = "FILE", requires = "template")]
    pub(crate) cassette: Option<PathBuf>,
    /// List the faults.
    #[arg(long)]
    pub(crate) faults: bool,
    /// Print the matrix as a page of Markdown.
    #[arg(long)]
    pub(crate) markdown: bool,
    /// How many syncs are tried at a time.
    #[arg(long, default_value = "2", value_parser = at_least_one)]
    pub(crate) jobs: usize,
}

#[derive(Debug, Args)]
pub(crate) struct SyncOptions {
    /// The provider, such as `github`.
    pub(crate) provider: String,
    /// The template, such as `issues`.
    pub(crate) template: String,
    /// Settings: `owner=rust-lang,repo=cargo`.
    #[arg(long, value_delimiter = ',', value_parser = key_value)]
    pub(crate) config: Vec<(String, String)>,
    /// The connection's id. Made from provider and settings unless given.
    #[arg(long)]
    pub(crate) connection: Option<String>,
    /// Where the API is, if not at its usual place.
    #[arg(long)]
    pub(crate) base_url: Option<String>,
    /// The environment variable that holds the token.
    #[arg(long, value_name = "NAME")]
    pub(crate) token_env: Option<String>,
    /// Read everything again, and notice deletes.
    #[arg(long)]
    pub(crate) full: bool,
    /// Allow deletes that the guard held back.
    #[arg(long)]
    pub(crate) approve_deletes: bool,
    /// Run again and again at this interval, such as `5m`.
    #[arg(long, value_parser = duration)]
    pub(crate) every: Option<Duration>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StreamOptions {
    /// The model, such as `Issue`.
    pub(crate) model: String,
    /// The connection, where several have the model.
    #[arg(long)]
    pub(crate) connection: Option<String>,
    /// The variant, where there are several.
    #[arg(long)]
    pub(crate) variant: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
}

#[derive(Debug, Args)]
pub(crate) struct RecordsOptions {
    #[command(flatten)]
    pub(crate) stream: StreamOptions,
    /// Only what was modified behind this cursor.
    #[arg(long, value_parser = cursor)]
    pub(crate) since: Option<Cursor>,
    /// At most so many records.
    #[arg(long, default_value = "100", value_parser = at_least_one)]
    pub(crate) limit: usize,
    /// Only what was modified at or after this time (RFC 3339, with its offset).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) modified_after: Option<Timestamp>,
    /// Only these last actions: `added,updated,deleted`.
    #[arg(long, value_delimiter = ',', value_parser = action)]
    pub(crate) filter: Vec<Action>,
}

#[derive(Debug, Args)]
pub(crate) struct GetOptions {
    #[command(flatten)]
    pub(crate) stream: StreamOptions,
    /// The ids; behind `--`, also those that begin with a hyphen.
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TailOptions {
    #[command(flatten)]
    pub(crate) stream: StreamOptions,
    /// The name under which the position is kept.
    #[arg(long, default_value = "tail")]
    pub(crate) name: String,
    /// Begin at `start`, `end` or a cursor instead of where it stopped.
    #[arg(long, value_parser = seek)]
    pub(crate) from: Option<Seek>,
    /// End when everything there is was printed.
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SqlViewOptions {
    /// The connection, or its provider.
    pub(crate) connection: String,
    /// The model.
    pub(crate) model: String,
    /// The variant, where there are several.
    #[arg(long)]
    pub(crate) variant: Option<String>,
    /// The view's name. Unless given, the model's in lower case, with that of the connection (and variant) where
    /// several have the model.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Columns, by the names that the command tells, in place of those that most records have: `title,user_login`. `all`: every
    /// member.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) columns: Vec<String>,
    /// The database file.
    #[arg(long, default_value = "highwater.db", env = "HIGHWATER_DB")]
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) codec: CodecOptions,
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// End after this long, such as `5s`; until Ctrl-C unless given.
    #[arg(long = "for", value_parser = duration, value_name = "TIME")]
    pub(crate) period: Option<Duration>,
    /// Keep the database here instead of in a temporary folder.
    #[arg(long)]
    pub(crate) db: Option<PathBuf>,
}

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write settings as key=value".to_owned()),
    }
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "write a whole number of at least 1".to_owned())
}

fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|_| "this is no cursor: give one as a command printed it".to_owned())
}

fn seek(text: &str) -> Result<Seek, String> {
    match text {
        "start" => Ok(Seek::Start),
        "end" => Ok(Seek::End),
        text => text.parse().map(Seek::Cursor).map_err(|_| "write `start`, `end` or a cursor".to_owned()),
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write a time as 2026-11-23T10:00:00Z".to_owned())
}

fn action(text: &str) -> Result<Action, String> {
    match text.to_ascii_lowercase().as_str() {
        "added" => Ok(Action::Added),
        "updated" => Ok(Action::Updated),
        "deleted" => Ok(Action::Deleted),
        _ => Err("an action is added, updated or deleted".to_owned()),
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| "write a time as 30s, 5m, 2h or 500ms".to_owned())?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err("write a time as 30s, 5m, 2h or 500ms".to_owned()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        assert!(duration("-1s").is_err() && duration("x").is_err() && duration("1d").is_err());
    }
}
