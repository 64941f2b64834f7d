//! Airtable: records of a table.

use std::time::Duration;

use highwater_core::{Result, Timestamp};
use highwater_template::auth::{AuthKind, ClientAuth, DesktopSignIn, OAuth2};
use highwater_template::http::escape;
use highwater_template::limits::RateLimits;
use highwater_template::{ConfigKey, HttpRequest, Pages, Paging, Provider, SyncContext, TemplateInfo, Verification};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{DELETES_BY_REFRESH, OVERLAP, complete, model, schemas, template, whole_seconds};

schemas!("airtable": Record);

template! {
    /// Records of a table.
    ///
    /// A record of Airtable does not say when it last changed, but the API finds those that changed since a time. That time
    /// is the server's, from the first response of the last run.
    Records, info(), fetch
}

/// Describes Airtable. It allows five requests a second for a base, and none for 30 seconds after a refusal.
pub fn provider() -> Provider {
    let oauth = OAuth2::new(
        "https://airtable.com/oauth2/v1/authorize",
        "https://airtable.com/oauth2/v1/token",
        DesktopSignIn::PkcePublic,
    )
    // https://airtable.com/developers/web/guides/oauth-integrations
    .registered(
        // http:// is refused but for localhost: https://airtable.com/developers/web/api/oauth-reference
        "an OAuth integration without a client secret, from the Builder hub, with a redirect to http://localhost and a fixed port",
        "https://airtable.com/create/oauth",
    );
    Provider::new("airtable", "https://api.airtable.com")
        .auth(
            AuthKind::bearer("a personal access token, from the Builder hub")
                .page("https://airtable.com/create/tokens"),
        )
        .auth(AuthKind::OAuth2(oauth.scope("data.records:read").client(ClientAuth::Basic)))
        // https://airtable.com/developers/web/api/get-user-id-scopes: the address only with the scope user.email:read
        .verification(Verification::get("/v0/meta/whoami").id("/id").name("/email").name("/id"))
        .limits(RateLimits::new().rate(5, Duration::from_secs(1)).first_backoff(Duration::from_secs(30)))
        .docs("https://airtable.com/developers/web/api/list-records")
}

fn info() -> TemplateInfo {
    provider()
        .template("records")
        .description("Records of a table")
        .scope("data.records:read")
        .model_info(model::<Record>("Record", "A record of the table"))
        .config(ConfigKey::required("base", "the base's id, which begins with app"))
        .config(ConfigKey::required("table", "the table's name or id"))
        .incremental("by LAST_MODIFIED_TIME()")
        .deletes(DELETES_BY_REFRESH)
        .interval(Duration::from_secs(600))
}

async fn fetch(context: &mut SyncContext<'_>) -> Result<()> {
    let path = format!("/v0/{}/{}", escape(context.config("base")?), escape(context.config("table")?));
    let mut request = HttpRequest::get(path).query("pageSize", "100");
    if let Some(last) = context.last_checkpoint::<Timestamp>()? {
        let since = whole_seconds(last - OVERLAP);
        request = request.query("filterByFormula", format!("IS_AFTER(LAST_MODIFIED_TIME(), '{since}')"));
    }
    let mut pages = Pages::new(request, Paging::cursor("/offset", "offset")).records_at("/records");
    let mut began = None;
    while let Some(page) = pages.next(context).await? {
        began = began.or_else(|| page.response.date());
        context.save("Record", page.records).await?;
    }
    // Without a server's clock, ours at the beginning of the run, because changes during the run may be missing.
    context.checkpoint(&began.unwrap_or(context.started_at()))?;
    complete(context, "Record").await
}

/// A record of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its id, which begins with `rec`.
    pub id: String,
    /// When it was created.
    pub created_time: String,
    /// Its fields, by name. Empty ones are left out.
    pub fields: Map<String, Value>,
}
