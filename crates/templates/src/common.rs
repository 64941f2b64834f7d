//! What the templates share: the loops over pages, and the shapes of a template and of an action.

use bytes::Bytes;
use highwater_core::template::{
    HttpResponse, ModelInfo, PageRecord, Pages, SyncContext, Validator, Window, id_at, string_at,
};
use highwater_core::{Result, content};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// A type that holds its description.
macro_rules! described {
    ($(#[$doc:meta])* $name:ident, $description:ty, $info:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($description);

        impl $name {
            /// With its description.
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

/// A template of an `info` expression, an async `fetch` function and, where it takes webhooks, a function of an event.
macro_rules! template {
    ($(#[$doc:meta])* $name:ident, $info:expr, $fetch:path $(, $webhook:path)?) => {
        crate::common::described! { $(#[$doc])* $name, highwater_core::template::TemplateInfo, $info }

        #[async_trait::async_trait]
        impl highwater_core::template::Template for $name {
            fn info(&self) -> &highwater_core::template::TemplateInfo {
                &self.0
            }

            async fn fetch(&self, context: &mut highwater_core::template::SyncContext<'_>) -> highwater_core::Result<()> {
                $fetch(context).await
            }

            $(
                fn webhook(
                    &self,
                    event: &highwater_core::template::WebhookEvent<'_>,
                ) -> highwater_core::Result<highwater_core::template::WebhookReaction> {
                    $webhook(event)
                }
            )?
        }
    };
}

/// An action of an `info` expression and an async function of its input.
macro_rules! action {
    ($(#[$doc:meta])* $name:ident, $info:expr, $run:path) => {
        crate::common::described! { $(#[$doc])* $name, highwater_core::template::ActionInfo, $info }

        #[async_trait::async_trait]
        impl highwater_core::template::ActionTemplate for $name {
            fn info(&self) -> &highwater_core::template::ActionInfo {
                &self.0
            }

            async fn run(
                &self,
                context: &highwater_core::template::ActionContext<'_>,
                input: serde_json::Value,
            ) -> highwater_core::Result<serde_json::Value> {
                $run(context, highwater_core::template::action_input(input)?).await
            }
        }
    };
}

pub(crate) use {action, described, template};

/// The schema of a Rust type.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// A model and its schema.
pub(crate) fn model<T: JsonSchema>(name: &str, description: &str) -> ModelInfo {
    ModelInfo::new(name, description).schema(schema::<T>())
}

/// How far before its checkpoint a sync begins again: APIs show some changes late.
pub(crate) const OVERLAP: Duration = Duration::from_secs(120);

/// The words of the catalogue for the two usual ways of noticing deletes.
pub(crate) const DELETES_BY_REFRESH: &str = "noticed by a full refresh";
pub(crate) const DELETES_BY_EVERY_RUN: &str = "noticed by every run";

/// Reads a list whole and saves it under the ids at `key`: what is missing was deleted.
pub(crate) async fn whole(context: &mut SyncContext<'_>, model: &str, mut pages: Pages, key: &[&str]) -> Result<()> {
    while let Some(page) = pages.next(context).await? {
        context.apply(model, keyed(page.records, key)?, Vec::new()).await?;
    }
    complete(context, model).await
}

/// Says that everything was seen, where that was the run's business.
pub(crate) async fn complete(context: &mut SyncContext<'_>, model: &str) -> Result<()> {
    if context.is_full_refresh() { context.complete(model).await } else { Ok(()) }
}

/// Records under the ids at `key`; without a key, under their member `id`.
pub(crate) fn keyed(records: Vec<Bytes>, key: &[&str]) -> Result<Vec<PageRecord>> {
    let record = |record: Bytes| match key {
        [] => Ok(PageRecord::from(record)),
        _ => Ok(PageRecord::with_id(id_at(&record, key)?, record)),
    };
    records.into_iter().map(record).collect()
}

/// A window behind the last checkpoint, whose text is all that the checkpoint is.
pub(crate) fn window(context: &SyncContext<'_>, overlap: Duration) -> Result<Window> {
    let last: Option<String> = context.last_checkpoint()?;
    Window::new(last.as_deref(), overlap, context.started_ms())
}

/// The checkpoint of a sync by time whose API can say that nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Mark {
    /// The last time seen.
    Time(String),
    /// The same, and what the answer was marked with that told of nothing later.
    Known {
        /// The last time seen.
        at: String,
        /// What the answer was marked with.
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

/// Notes the times of a page's records.
pub(crate) fn note_times(window: &mut Window, records: &[Bytes], pointer: &str) -> Result<()> {
    records.iter().try_for_each(|record| window.saw(&string_at(record, pointer)?))
}

/// Saves pages that come with the oldest change first, with a checkpoint each.
pub(crate) async fn oldest_first(
    context: &mut SyncContext<'_>,
    model: &str,
    mut pages: Pages,
    window: &mut Window,
    updated: &str,
) -> Result<()> {
    while let Some(page) = pages.next(context).await? {
        note_times(window, &page.records, updated)?;
        if let Some(checkpoint) = window.checkpoint() {
            context.checkpoint(checkpoint)?;
        }
        context.save(model, page.records).await?;
    }
    complete(context, model).await
}

/// Saves pages that come with the newest change first, back to the window's beginning; the
/// checkpoint moves at the end alone, for only then is everything before it saved.
pub(crate) async fn newest_first(
    context: &mut SyncContext<'_>,
    model: &str,
    pages: Pages,
    window: &mut Window,
    updated: &str,
) -> Result<()> {
    save_newest_first(context, model, pages, window, updated).await?;
    if let Some(checkpoint) = window.checkpoint() {
        context.checkpoint(checkpoint)?;
    }
    complete(context, model).await
}

/// The same without its checkpoint and its end; returns the first page's answer.
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
        note_times(window, &page.records, updated)?;
        let oldest = page.records.last().map(|record| string_at(record, updated)).transpose()?;
        context.save(model, page.records).await?;
        first.get_or_insert(page.response);
        if let (Some(oldest), Some(since)) = (oldest, &since)
            && is_before(&oldest, since)?
        {
            break;
        }
    }
    Ok(first)
}

/// Whether one RFC 3339 time is before another.
pub(crate) fn is_before(a: &str, b: &str) -> Result<bool> {
    let time = |text: &str| {
        chrono::DateTime::parse_from_rfc3339(text).map_err(|source| {
            highwater_core::Error::new(highwater_core::ErrorKind::Remote, "the API sent a time that cannot be read")
                .with("time", text)
                .because(source)
        })
    };
    Ok(time(a)? < time(b)?)
}

/// A record with one more member.
pub(crate) fn with_member<T: Serialize>(record: &[u8], name: &str, value: &T) -> Result<Bytes> {
    let patch = serde_json::json!({ name: value }).to_string();
    content::deep_merge(record, patch.as_bytes()).map(Bytes::from)
}

/// Reads a record as `T`, naming what is wrong.
pub(crate) fn read<T: DeserializeOwned>(record: &[u8]) -> Result<T> {
    serde_json::from_slice(record).map_err(|source| {
        highwater_core::Error::new(highwater_core::ErrorKind::Remote, "the API sent a record of another shape")
            .because(source)
    })
}

/// A setting that lists things, parted by commas.
pub(crate) fn listed<'c>(context: &'c SyncContext<'_>, name: &str) -> Vec<&'c str> {
    let text = context.optional_config(name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
}
