//! The commands of a run.

use bytes::Bytes;
use highwater::template::host::RunHost;
use highwater::template::{LogLevel, RecordId, SourceRecord, StreamCommit, SyncContext};
use highwater::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::arguments;
use crate::operations::{Operation, RequestOptions, response, write};

pub(crate) const REQUEST: &str = "request";

/// Every command that a host's function can give in a run.
pub const RUN_COMMANDS: &[Operation] = &[
    Operation {
        name: REQUEST,
        rust: "SyncContext::send",
        about: "Sends a request to the API, with credentials, retries and rate limits.",
    },
    Operation {
        name: "save",
        rust: "SyncContext::apply",
        about: "Saves a page of records of a model, and deletes those in `deleted`, in one commit with the checkpoint.",
    },
    Operation { name: "delete", rust: "SyncContext::delete", about: "Deletes records by id." },
    Operation {
        name: "checkpoint",
        rust: "SyncContext::checkpoint",
        about: "Sets where the next run begins; it becomes durable with the next save.",
    },
    Operation {
        name: "complete",
        rust: "SyncContext::complete",
        about: "Declares that the run has seen every record of a model: the others are deleted at its end.",
    },
    Operation { name: "log", rust: "SyncContext::log", about: "Adds a line to the run's log: `level` and `message`." },
    Operation {
        name: "expect_total",
        rust: "SyncContext::expect_total",
        about: "Sets how many records there are to fetch.",
    },
    Operation { name: "progress", rust: "SyncContext::progress", about: "Returns how far the run has come." },
];

/// Sends a request to the API.
pub(crate) async fn request(host: &dyn RunHost, text: &str) -> Result<String> {
    let request = arguments::read::<RequestOptions>(REQUEST, text)?.read()?;
    write(&response(host.send(request).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Save {
    model: String,
    records: Vec<Box<RawValue>>,
    #[serde(default)]
    deleted: Vec<RecordId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delete {
    model: String,
    ids: Vec<RecordId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    value: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Complete {
    model: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    level: LogLevel,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Total {
    total: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Performs any other command.
pub(crate) async fn perform(context: &mut SyncContext<'_>, name: &str, text: &str) -> Result<String> {
    match name {
        "save" => {
            let save: Save = arguments::read(name, text)?;
            let records = save.records.into_iter().map(|record| SourceRecord::from(bytes(record))).collect();
            counts(&context.apply(&save.model, records, save.deleted).await?)
        }
        "delete" => {
            let delete: Delete = arguments::read(name, text)?;
            counts(&context.delete(&delete.model, delete.ids).await?)
        }
        "checkpoint" => {
            context.checkpoint(&arguments::read::<Checkpoint>(name, text)?.value)?;
            write(&Value::Null)
        }
        "complete" => write(&context.complete(&arguments::read::<Complete>(name, text)?.model).await?),
        "log" => {
            let line: Line = arguments::read(name, text)?;
            context.log(line.level, line.message);
            write(&Value::Null)
        }
        "expect_total" => {
            context.expect_total(arguments::read::<Total>(name, text)?.total);
            write(&Value::Null)
        }
        "progress" => {
            let Nothing {} = arguments::read(name, text)?;
            write(&context.progress())
        }
        _ => {
            let start: String = name.chars().take(100).collect();
            let message = "a run has no such command: see the list in docs/bindings.md";
            Err(Error::new(ErrorKind::Invalid, message).with("command", start))
        }
    }
}

fn bytes(record: Box<RawValue>) -> Bytes {
    Bytes::from(Box::<str>::from(record).into_string())
}

/// What a commit did, with the records that it could not save.
fn counts(commit: &StreamCommit) -> Result<String> {
    let rejected: Vec<Value> =
        commit.rejected.iter().map(|record| json!({ "id": record.id, "reason": record.reason })).collect();
    write(&json!({
        "added": commit.added, "updated": commit.updated, "unchanged": commit.unchanged, "deleted": commit.deleted,
        "rejected": rejected,
    }))
}
