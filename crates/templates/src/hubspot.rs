//! HubSpot: contacts, companies, deals.

use std::time::Duration;

use highwater_core::template::{
    AuthKind, ConfigKey, DesktopSignIn, HttpRequest, LimitHabits, OAuth2, Pages, Paging, Provider, SyncContext,
    TemplateInfo, string_at,
};
use highwater_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::common::{DELETES_BY_REFRESH, OVERLAP, complete, listed, model, note_times, template, window};

/// A search gives no more than 10,000 records: before that it begins anew behind the last one.
const SEARCH_REACH: usize = 9_000;

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

/// HubSpot.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://app.hubspot.com/oauth/authorize",
        "https://api.hubapi.com/oauth/v1/token",
        DesktopSignIn::Broker,
    );
    Provider::new("hubspot", "https://api.hubapi.com")
        .auth(AuthKind::bearer("a private app's access token, from Settings > Integrations"))
        .auth(AuthKind::OAuth2(oauth))
        // The search endpoint allows no more; the lists would.
        .limits(
            LimitHabits::new()
                .rate(4, Duration::from_secs(1))
                .headers("x-hubspot-ratelimit-secondly-remaining", "retry-after"),
        )
        .docs("https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide")
}

fn describe(object: &str, model_name: &str, description: &str) -> TemplateInfo {
    provider()
        .template(object)
        .description(format!("The account's {object}"))
        .scope(format!("crm.objects.{object}.read"))
        .model_info(model::<Object>(model_name, description))
        .config(ConfigKey::optional(
            "properties",
            "properties to read, parted by commas; HubSpot's usual ones unless given",
        ))
        .incremental("by a search for the time of the last change")
        .deletes(DELETES_BY_REFRESH)
        .every(Duration::from_secs(300))
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

async fn fetch(context: &mut SyncContext<'_>, object: &str, model: &str, changed: &str) -> Result<()> {
    let mut properties: Vec<String> = listed(context, "properties").into_iter().map(str::to_owned).collect();
    if !properties.is_empty() && !properties.iter().any(|property| property == changed) {
        properties.push(changed.to_owned());
    }
    let mut window = window(context, OVERLAP)?;
    if let Some(since) = window.since_time() {
        let mut since_ms = since.timestamp_millis();
        // Each search ends at HubSpot's reach; the next begins at the last time seen.
        loop {
            let (seen, newest_ms) = search(context, object, model, changed, &properties, since_ms, &mut window).await?;
            if seen < SEARCH_REACH {
                return Ok(());
            }
            if newest_ms <= since_ms {
                return Err(Error::new(
                    ErrorKind::Remote,
                    "too many records changed at one time for HubSpot's search: run a full refresh",
                )
                .with("object", object));
            }
            since_ms = newest_ms;
        }
    }
    let mut request = HttpRequest::get(format!("/crm/v3/objects/{object}")).query("limit", "100");
    if !properties.is_empty() {
        request = request.query("properties", properties.join(","));
    }
    let mut pages = Pages::new(request, Paging::cursor("/paging/next/after", "after")).records_at("/results");
    while let Some(page) = pages.next(context).await? {
        note_times(&mut window, &page.records, "/updatedAt")?;
        context.save(model, page.records).await?;
    }
    // The list is in the order of ids: only now is everything up to the latest change saved. Without a record there is
    // nothing to go on from.
    if let Some(checkpoint) = window.checkpoint() {
        context.checkpoint(checkpoint)?;
    }
    complete(context, model).await
}

async fn search(
    context: &mut SyncContext<'_>,
    object: &str,
    model: &str,
    changed: &str,
    properties: &[String],
    since_ms: i64,
    window: &mut highwater_core::template::Window,
) -> Result<(usize, i64)> {
    let filter = json!({"propertyName": changed, "operator": "GTE", "value": since_ms.to_string()});
    let mut body = json!({
        "limit": 100,
        "filterGroups": [{"filters": [filter]}],
        "sorts": [{"propertyName": changed, "direction": "ASCENDING"}],
    });
    if let (false, Some(members)) = (properties.is_empty(), body.as_object_mut()) {
        members.insert("properties".to_owned(), json!(properties));
    }
    let request = HttpRequest::post_json(format!("/crm/v3/objects/{object}/search"), &body)?;
    let mut pages = Pages::new(request, Paging::cursor("/paging/next/after", "/after")).records_at("/results");
    let (mut seen, mut newest_ms) = (0, since_ms);
    while seen < SEARCH_REACH
        && let Some(page) = pages.next(context).await?
    {
        seen += page.records.len();
        note_times(window, &page.records, "/updatedAt")?;
        if let Some(last) = page.records.last() {
            let at = string_at(last, "/updatedAt")?;
            newest_ms = chrono::DateTime::parse_from_rfc3339(&at).map_or(newest_ms, |time| time.timestamp_millis());
        }
        if let Some(checkpoint) = window.checkpoint() {
            context.checkpoint(checkpoint)?;
        }
        context.save(model, page.records).await?;
    }
    Ok((seen, newest_ms))
}

/// An object of the CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Whether it was put away.
    #[serde(default)]
    pub archived: bool,
}
