//! Kinto: the records of a collection, by its feed of changes with tombstones.

use std::time::Duration;

use highwater_core::{Error, ErrorKind, Result};
use highwater_template::auth::{AuthKind, CredentialUse};
use highwater_template::http::escape;
use highwater_template::records::{string_at, text_at};
use highwater_template::{ConfigKey, HttpRequest, Provider, SourceRecord, SyncContext, TemplateInfo, Verification};
use serde::{Deserialize, Serialize};

use crate::common::{complete, model, schemas, template};

schemas!("kinto": Record);

/// Records in a page.
const LIMIT: usize = 1000;

template! {
    /// Records of a collection.
    ///
    /// Kinto gives each change of a collection a time of its own (`last_modified`), and its feed reports deletes too. So the
    /// last time seen is the whole checkpoint, and no change between two pages can be lost.
    Records, info(), fetch
}

/// Describes Kinto. The base URL ends with the API's version, such as `https://kinto.example/v1`.
pub fn provider() -> Provider {
    Provider::new("kinto", "https://{host}/v1")
        .auth(AuthKind::basic("the account's name and password"))
        .auth(AuthKind::bearer("an access token"))
        // https://docs.kinto-storage.org/en/stable/api/1.x/utilities.html: it has `user` for who is signed in
        .verification(Verification::get("/").name("/user/id"))
        .docs("https://docs.kinto-storage.org")
}

fn info() -> TemplateInfo {
    provider()
        .template("records")
        .credentials(CredentialUse::Optional)
        .description("Records of a collection")
        .model_info(model::<Record>("Record", "A record"))
        .config(ConfigKey::with_default("host", "the server's name", "localhost"))
        .config(ConfigKey::required("bucket", "the bucket's id"))
        .config(ConfigKey::required("collection", "the collection's id"))
        .incremental("by `_since`")
        .deletes("reported by the feed (tombstones)")
        .interval(Duration::from_secs(60))
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let (bucket, collection) = (escape(context.config("bucket")?), escape(context.config("collection")?));
    let path = format!("/buckets/{bucket}/collections/{collection}/records");
    let mut since: Option<String> = context.last_checkpoint()?;
    loop {
        let mut request = HttpRequest::get(&path).query("_sort", "last_modified").query("_limit", LIMIT.to_string());
        if let Some(since) = &since {
            request = request.query("_since", since);
        }
        let page = context.send(request).await?;
        let records = page.elements_at("/data")?;
        // A server may return fewer than requested, so only the header says whether there is a next page.
        let more = page.header("next-page").is_some();
        let (mut changed, mut deleted, mut newest) = (Vec::new(), Vec::new(), None);
        context.read_each("Record", records, |record| {
            // It becomes the next request's `_since`. Anything but a number would restart the feed there.
            let at: u64 = string_at(record, "/last_modified")?.parse().map_err(|source| {
                Error::new(ErrorKind::Remote, "the record's `last_modified` is not a time in milliseconds")
                    .because(source)
            })?;
            if text_at(record, "/deleted")?.as_deref() == Some("true") {
                deleted.push(string_at(record, "/id")?.into());
            } else {
                changed.push(SourceRecord::from(record.clone()));
            }
            newest = Some(at.to_string());
            Ok(())
        });
        let Some(newest) = newest else {
            if more {
                return Err(page.error(ErrorKind::Remote, "no record of a page says when it changed"));
            }
            break;
        };
        context.checkpoint(&newest)?;
        context.apply("Record", changed, deleted).await?;
        // Each change has a time of its own, so the next page has a later time.
        if more && since.as_ref() == Some(&newest) {
            return Err(page.error(ErrorKind::Remote, "the feed repeats the same records: it has no end"));
        }
        since = Some(newest);
        if !more {
            break;
        }
    }
    complete(context, "Record").await
}

/// A record of a collection. It has members of its own beside these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Record {
    /// Its id.
    pub id: String,
    /// When it last changed: Unix milliseconds, unique in the collection.
    pub last_modified: i64,
}
