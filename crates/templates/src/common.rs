//! What the templates share: loops over pages, and the macros that declare a template or an action.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use highwater_core::{Error, Result, Timestamp, content};
use highwater_template::http::Validator;
use highwater_template::paging::FetchedPage;
use highwater_template::records::{id_at, parse_time, string_at};
use highwater_template::{HttpResponse, LogLevel, ModelInfo, Pages, SourceRecord, SyncContext, Window};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Declares a type that holds its description.
macro_rules! described {
    ($(#[$doc:meta])* $name:ident, $description:ty, $info:expr) => {
        $(#[$doc])*
        pub struct $name($description);

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl $name {
            /// Makes it, with its description.
            pub fn new() -> Self {
                $name($info)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $name::new()
            }
        }
    };
}

/// Declares a template: an `info` expression, an async `fetch` function and, if it takes webhooks, a function of an event.
macro_rules! template {
    ($(#[$doc:meta])* $name:ident, $info:expr, $fetch:path $(, $webhook:path)?) => {
        crate::common::described! { $(#[$doc])* $name, highwater_template::TemplateInfo, $info }

        #[async_trait::async_trait]
        impl highwater_template::Template for $name {
            fn info(&self) -> &highwater_template::TemplateInfo {
                &self.0
            }

            async fn fetch(&self, context: &mut highwater_template::SyncContext<'_>) -> highwater_core::Result<()> {
                $fetch(context).await
            }

            $(
                fn webhook(
                    &self,
                    event: &highwater_template::webhooks::WebhookEvent<'_>,
                ) -> highwater_core::Result<highwater_template::webhooks::WebhookReaction> {
                    $webhook(event)
                }
            )?
        }
    };
}

/// Declares an action: an `info` expression and an async function of its input.
macro_rules! action {
    ($(#[$doc:meta])* $name:ident, $info:expr, $run:path) => {
        crate::common::described! { $(#[$doc])* $name, highwater_template::actions::ActionInfo, $info }

        #[async_trait::async_trait]
        impl highwater_template::actions::ActionTemplate for $name {
            fn info(&self) -> &highwater_template::actions::ActionInfo {
                &self.0
            }

            async fn run(
                &self,
                context: &highwater_template::actions::ActionContext<'_>,
                input: serde_json::Value,
            ) -> highwater_core::Result<serde_json::Value> {
                $run(context, highwater_template::actions::parse_input(input)?).await
            }
        }
    };
}

/// Names the JSON schemas of a module's types: the files `schemas/API/TYPE.json`. They are made from the types by a test of the
/// module: `HIGHWATER_REFRESH=1 cargo test -p highwater-templates schemas` writes them anew.
macro_rules! schemas {
    ($api:literal: $($type:ident),+) => {
        $(impl crate::common::HasSchema for $type {
            const SCHEMA: &'static str =
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/", $api, "/", stringify!($type), ".json"));
        })+

        #[cfg(test)]
        #[test]
        fn schemas_are_those_of_the_types() {
            $(crate::common::check_schema::<$type>(concat!($api, "/", stringify!($type)));)+
        }
    };
}

pub(crate) use {action, described, schemas, template};

/// A type that has a JSON schema.
pub(crate) trait HasSchema {
    /// The schema's text. A test proves that it is JSON.
    const SCHEMA: &'static str;
}

/// Returns the JSON schema of a Rust type.
pub(crate) fn schema<T: HasSchema>() -> Value {
    parsed(T::SCHEMA)
}

fn parsed(schema: &str) -> Value {
    serde_json::from_slice(schema.as_bytes()).unwrap_or_default()
}

/// Describes a model with the schema of its Rust type.
pub(crate) fn model<T: HasSchema>(name: &str, description: &str) -> ModelInfo {
    described_model(name, description, T::SCHEMA)
}

fn described_model(name: &str, description: &str, schema: &str) -> ModelInfo {
    ModelInfo::new(name, description).schema(parsed(schema))
}

/// Compares a schema's file with the type.
#[cfg(test)]
pub(crate) fn check_schema<T: HasSchema + schemars::JsonSchema>(name: &str) {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let expected = settings.into_generator().into_root_schema_for::<T>().to_value();
    if std::env::var_os("HIGHWATER_REFRESH").is_some() {
        let path = format!("{}/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, format!("{expected}\n")).unwrap();
    } else {
        assert!(
            schema::<T>() == expected,
            "schemas/{name}.json is not as the type is: run this test with HIGHWATER_REFRESH=1"
        );
    }
}

/// How far before its checkpoint a sync begins, because APIs show some changes late.
pub(crate) const OVERLAP: Duration = Duration::from_secs(120);

/// The catalogue's texts for the two usual ways to find deletes.
pub(crate) const DELETES_BY_REFRESH: &str = "detected by a full refresh";
pub(crate) const DELETES_BY_EVERY_RUN: &str = "detected by every run";

/// Reads a whole list and saves it under the ids at `key`, or under the member `id` without one. What is missing was deleted.
pub(crate) async fn whole(context: &mut SyncContext<'_>, model: &str, mut pages: Pages, key: &[&str]) -> Result<()> {
    while let Some(page) = pages.next(context).await? {
        let keyed = |record: &Bytes| match key {
            [] => Ok(SourceRecord::from(record.clone())),
            _ => Ok(SourceRecord::with_id(id_at(record, key)?, record.clone())),
        };
        context.save_each(model, page.records, keyed).await?;
    }
    complete(context, model).await
}

/// Completes the model, if the run is a full refresh.
pub(crate) async fn complete(context: &mut SyncContext<'_>, model: &str) -> Result<()> {
    if context.is_full_refresh() { context.complete(model).await } else { Ok(()) }
}

/// A list that continues where an interrupted run stopped. Where the API no longer accepts that position, such as an expired
/// page token or the id of a record that was deleted since, the list starts over.
pub(crate) struct Resumed<F> {
    begin: F,
    pages: Pages,
    /// Whether the API has not accepted the position yet.
    tentative: bool,
}

impl<F: Fn() -> Pages> Resumed<F> {
    pub(crate) fn new(begin: F, place: Option<String>) -> Self {
        let tentative = place.is_some();
        Resumed { pages: begin().resume(place), begin, tentative }
    }

    /// Returns the next page; `None` after the last.
    pub(crate) async fn next(&mut self, context: &SyncContext<'_>) -> Result<Option<FetchedPage>> {
        match self.pages.next(context).await {
            Err(error) if self.tentative && is_refusal(&error) => {
                context
                    .log(LogLevel::Info, "the API cannot go on where the list stopped: reading it from the beginning");
                self.tentative = false;
                self.pages = (self.begin)();
                self.pages.next(context).await
            }
            Ok(page) => {
                self.tentative = false;
                Ok(page)
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns whether the API refused the request because of its contents.
fn is_refusal(error: &Error) -> bool {
    matches!(error.context("status"), Some("400" | "404" | "410" | "422"))
}

/// Makes the window after the last checkpoint, which is nothing but the text of a time.
pub(crate) fn window(context: &SyncContext<'_>, overlap: Duration) -> Result<Window> {
    let last: Option<String> = context.last_checkpoint()?;
    Window::new(last.as_deref(), overlap, context.started_at())
}

/// The checkpoint of a sync by time whose API supports validators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Mark {
    /// The last time seen.
    Time(String),
    /// The same, with the validator of the response that had nothing later.
    Known {
        /// The last time seen.
        at: String,
        /// The validator of the response.
        validator: Validator,
    },
}

impl Mark {
    pub(crate) fn new(at: &str, validator: Option<Validator>) -> Self {
        match validator {
            Some(validator) => Mark::Known { at: at.to_owned(), validator },
            None => Mark::Time(at.to_owned()),
        }
    }

    pub(crate) fn at(&self) -> &str {
        match self {
            Mark::Time(at) | Mark::Known { at, .. } => at,
        }
    }

    pub(crate) fn validator(&self) -> Option<&Validator> {
        match self {
            Mark::Time(_) => None,
            Mark::Known { validator, .. } => Some(validator),
        }
    }
}

/// Observes the times of a page's records and returns those whose time can be read. The others are set aside.
pub(crate) fn timed(
    context: &mut SyncContext<'_>,
    model: &str,
    records: Vec<Bytes>,
    window: &mut Window,
    updated: &str,
) -> Vec<Bytes> {
    context.read_each(model, records, |record| {
        window.observe(&string_at(record, updated)?)?;
        Ok(record.clone())
    })
}

/// Returns the checkpoint at the end of a reading that began at `began_at`: the latest time seen, or `began_at` where every time
/// is later by our clock.
pub(crate) fn latest(window: &Window, began_at: Timestamp) -> String {
    let ours = || DateTime::<Utc>::from(SystemTime::from(began_at));
    window.checkpoint().map_or_else(|| ours().to_rfc3339_opts(SecondsFormat::Millis, true), str::to_owned)
}

/// Saves pages with the newest change first, back to the window's beginning. Returns the first page's response. Sets no
/// checkpoint, because everything before it is saved only at the end.
pub(crate) async fn save_newest_first(
    context: &mut SyncContext<'_>,
    model: &str,
    mut pages: Pages,
    window: &mut Window,
    updated: &str,
) -> Result<Option<HttpResponse>> {
    let since = window.since();
    let mut first = None;
    while let Some(page) = pages.next(context).await? {
        let records = timed(context, model, page.records, window, updated);
        let oldest = records.last().map(|record| parse_time(&string_at(record, updated)?)).transpose()?;
        context.save(model, records).await?;
        first.get_or_insert(page.response);
        if oldest.zip(since).is_some_and(|(oldest, since)| oldest < since) {
            break;
        }
    }
    Ok(first)
}

/// Adds a member to a record.
pub(crate) fn with_member<T: Serialize>(record: &[u8], name: &str, value: &T) -> Result<Bytes> {
    let patch = serde_json::json!({ name: value }).to_string();
    content::deep_merge(record, patch.as_bytes()).map(Bytes::from)
}

/// Parses a record.
pub(crate) fn read<T: DeserializeOwned>(record: &[u8]) -> Result<T> {
    serde_json::from_slice(record).map_err(|source| {
        highwater_core::Error::new(highwater_core::ErrorKind::Remote, "the API sent a record of an unexpected shape")
            .because(source)
    })
}

/// Returns a time as RFC 3339 text, rounded down to whole seconds.
pub(crate) fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_unix_ms(time.unix_ms() / 1_000 * 1_000).to_string()
}

/// Returns the items of a setting that are separated by commas.
pub(crate) fn listed<'c>(context: &'c SyncContext<'_>, name: &str) -> Vec<&'c str> {
    let text = context.optional_config(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}
