//! HubSpot: contacts, companies, deals.

use std::time::Duration;

use bytes::Bytes;
use highwater_core::timestamp::unix_ms;
use highwater_core::{ErrorKind, Result, Timestamp};
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::limits::RateLimits;
use highwater_template::records::{string_at, text_at};
use highwater_template::{
    ConfigKey, HttpRequest, Pages, Paging, Provider, SyncContext, TemplateInfo, Verification, Window,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::common::{DELETES_BY_REFRESH, OVERLAP, Resumed, complete, latest, listed, model, schemas, template};

schemas!("hubspot": Object);

/// The version of the API. `/crm/v3` ends in September 2027.
/// <https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm>
const OBJECTS: &str = "/crm/objects/2026-03";

template! {
    /// Contacts.
    Contacts, describe("contacts", "Contact", "A person"), fetch_contacts
}
template! {
    /// Companies.
    Companies, describe("companies", "Company", "A company"), fetch_companies
}
template! {
    /// Deals.
    Deals, describe("deals", "Deal", "A deal"), fetch_deals
}

/// Describes HubSpot.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://app.hubspot.com/oauth/authorize",
        // `/oauth/v1/token` ends on 2027-02-16. <https://developers.hubspot.com/changelog/v1-oauth-api-deprecation>
        "https://api.hubapi.com/oauth/2026-03/token",
        DesktopSignIn::Broker,
    )
    // https://developers.hubspot.com/docs/api-reference/latest/authentication/oauth-tokens/revoke-token
    .revocation_url("https://api.hubapi.com/oauth/2026-03/token/revoke")
    .registered(
        "an app of a developer project, from Development",
        "https://developers.hubspot.com/docs/api-reference/auth-oauth-v3/guide",
    );
    Provider::new("hubspot", "https://api.hubapi.com")
        // New private apps can no longer be made; the tokens of old ones still work.
        // <https://developers.hubspot.com/changelog/legacy-private-app-creation-sunset>
        .auth(
            AuthKind::bearer("a service key, from Settings > Integrations > Service Keys")
                .page("https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/account-service-keys"),
        )
        .auth(AuthKind::OAuth2(oauth))
        // https://developers.hubspot.com/docs/api-reference/account-account-info-v3/details/get-account-info-v3-details
        .verification(Verification::get("/account-info/v3/details").id("/portalId").name("/portalId"))
        // The limit of the search endpoint. The lists allow more.
        .limits(
            RateLimits::new()
                .rate(4, Duration::from_secs(1))
                .headers("x-hubspot-ratelimit-secondly-remaining", "retry-after"),
        )
        .docs("https://developers.hubspot.com/docs/api-reference/2026-03/crm/search-the-crm")
}

fn describe(object: &str, model_name: &str, description: &str) -> TemplateInfo {
    provider()
        .template(object)
        .description(format!("The account's {object}"))
        .scope(format!("crm.objects.{object}.read"))
        .model_info(model::<Object>(model_name, description))
        .config(ConfigKey::optional(
            "properties",
            "properties to read, separated by commas; HubSpot's defaults if omitted",
        ))
        .incremental("by a search for the time of the last change")
        .deletes(DELETES_BY_REFRESH)
        .interval(Duration::from_secs(300))
}

async fn fetch_contacts(context: &mut SyncContext<'_>) -> Result<()> {
    fetch(context, "contacts", "Contact", "lastmodifieddate").await
}

async fn fetch_companies(context: &mut SyncContext<'_>) -> Result<()> {
    fetch(context, "companies", "Company", "hs_lastmodifieddate").await
}

async fn fetch_deals(context: &mut SyncContext<'_>) -> Result<()> {
    fetch(context, "deals", "Deal", "hs_lastmodifieddate").await
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Checkpoint {
    /// The time of the latest change known.
    Changed(String),
    /// A reading in the order of ids that was interrupted.
    Reading(Reading),
}

#[derive(Clone, Serialize, Deserialize)]
struct Reading {
    /// The time of the latest change known before it; without one it is a list of everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// The time of the latest change seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    /// Where the list continues, or the id of the last record of the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// When it began.
    #[serde(rename = "began_ms", with = "unix_ms")]
    began_at: Timestamp,
}

/// What a run reads.
struct Source<'o> {
    path: String,
    model: &'o str,
    /// The property with the time of the last change.
    changed: &'o str,
    properties: Vec<String>,
}

async fn fetch(context: &mut SyncContext<'_>, object: &str, model: &str, changed: &str) -> Result<()> {
    let mut properties: Vec<String> = listed(context, "properties").into_iter().map(str::to_owned).collect();
    if !properties.is_empty() && !properties.iter().any(|property| property == changed) {
        properties.push(changed.to_owned());
    }
    let source = Source { path: format!("{OBJECTS}/{object}"), model, changed, properties };
    let begun = |since| Reading { since, newest: None, after: None, began_at: context.started_at() };
    let at = match context.last_checkpoint()? {
        None => read(context, &source, begun(None)).await?,
        Some(Checkpoint::Changed(at)) => read(context, &source, begun(Some(at))).await?,
        Some(Checkpoint::Reading(reading)) => {
            let began_at = context.started_at();
            let at = read(context, &source, reading).await?;
            // An earlier run began it, so what changed since then follows.
            read(context, &source, Reading { since: at, newest: None, after: None, began_at }).await?
        }
    };
    // Without a record there is no time to begin at.
    if let Some(at) = at {
        context.checkpoint(&Checkpoint::Changed(at))?;
    }
    complete(context, model).await
}

/// Reads on, in the order of ids. Returns the time of the latest change, which is the checkpoint once everything is read. Changes
/// after the reading began belong to the next one, because the record may have been read before.
async fn read(context: &mut SyncContext<'_>, source: &Source<'_>, reading: Reading) -> Result<Option<String>> {
    let mut window = Window::new(reading.since.as_deref(), OVERLAP, reading.began_at)?;
    if let Some(newest) = &reading.newest {
        window.observe(newest)?;
    }
    let began_at = reading.began_at;
    let any = match window.since() {
        Some(since) => {
            search(context, source, reading, since.unix_ms(), &mut window).await?;
            true
        }
        None => list(context, source, reading, &mut window).await?,
    };
    Ok(any.then(|| latest(&window, began_at)))
}

/// Reads everything. Returns whether there was a record.
async fn list(
    context: &mut SyncContext<'_>,
    source: &Source<'_>,
    mut reading: Reading,
    window: &mut Window,
) -> Result<bool> {
    let mut request = HttpRequest::get(&source.path).query("limit", "100");
    if !source.properties.is_empty() {
        request = request.query("properties", source.properties.join(","));
    }
    let paging = || Pages::new(request.clone(), Paging::cursor("/paging/next/after", "after")).records_at("/results");
    let mut any = reading.after.is_some();
    let mut pages = Resumed::new(paging, reading.after.take());
    while let Some(page) = pages.next(context).await? {
        reading.after = page.next;
        any |= save(context, source, &mut reading, page.records, window).await?;
    }
    Ok(any)
}

/// Reads what changed since a time, in the order of ids, each page after the last id of the one before it. So any number of
/// records may have changed at one time, one search may give 10,000 results at most, and records may leave the results meanwhile.
async fn search(
    context: &mut SyncContext<'_>,
    source: &Source<'_>,
    mut reading: Reading,
    since_ms: u64,
    window: &mut Window,
) -> Result<()> {
    loop {
        let mut filters =
            vec![json!({"propertyName": source.changed, "operator": "GTE", "value": since_ms.to_string()})];
        if let Some(after) = &reading.after {
            filters.push(json!({"propertyName": "hs_object_id", "operator": "GT", "value": after}));
        }
        let mut body = json!({
            "limit": 100,
            "filterGroups": [{"filters": filters}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        });
        if let (false, Some(members)) = (source.properties.is_empty(), body.as_object_mut()) {
            members.insert("properties".to_owned(), json!(source.properties));
        }
        let page = context.send(HttpRequest::post_json(format!("{}/search", source.path), &body)?).await?;
        let records = page.elements_at("/results")?;
        let more = page.text_at("/paging/next/after")?.is_some();
        let last = records.iter().rev().find_map(|record| text_at(record, "/id").ok().flatten());
        let behind = follows(last.as_deref(), reading.after.as_deref());
        if more && last.is_some() && !behind {
            let message = "HubSpot's search repeats the same records: the list has no end";
            return Err(page.error(ErrorKind::Remote, message));
        }
        if more && !behind {
            context.mark_incomplete(source.model, "no record of a page has an id after which the search could go on");
        }
        reading.after = last.or(reading.after);
        save(context, source, &mut reading, records, window).await?;
        if !more || !behind {
            return Ok(());
        }
    }
}

/// Returns whether an id comes after another. Ids are numbers.
fn follows(id: Option<&str>, other: Option<&str>) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    id.and_then(number).is_some_and(|id| other.and_then(number).is_none_or(|other| id > other))
}

/// Saves a page, with the position where the reading continues. Returns whether there was a record.
async fn save(
    context: &mut SyncContext<'_>,
    source: &Source<'_>,
    reading: &mut Reading,
    records: Vec<Bytes>,
    window: &mut Window,
) -> Result<bool> {
    let property = format!("/properties/{}", source.changed);
    let records = context.read_each(source.model, records, |record| {
        // The property that the search filters by. A record without it has the time as a member.
        let changed = match text_at(record, &property)? {
            Some(changed) => changed,
            None => string_at(record, "/updatedAt")?,
        };
        window.observe(&changed)?;
        Ok(record.clone())
    });
    reading.newest = window.checkpoint().map(str::to_owned);
    context.checkpoint(&Checkpoint::Reading(reading.clone()))?;
    let any = !records.is_empty();
    context.save(source.model, records).await?;
    Ok(any)
}

/// An object of the CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Its id, a number as a text.
    pub id: String,
    /// Its properties, by name: texts, whatever they mean.
    pub properties: Map<String, Value>,
    /// When it was created.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// Whether it was archived.
    #[serde(default)]
    pub archived: bool,
}
