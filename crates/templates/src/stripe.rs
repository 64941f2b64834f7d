//! Stripe: customers, subscriptions, invoices, charges. The first run reads the lists; from then on `/v1/events`
//! tells of every change and delete.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use highwater_core::template::{
    ActionContext, ActionInfo, AuthKind, HttpRequest, LogLevel, PageRecord, Pages, Paging, Provider, SyncContext,
    TemplateInfo, WebhookEvent, WebhookReaction, WebhookScheme, string_at, text_at, value_at,
};
use highwater_core::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{action, complete, model, read, schema, template};

/// Events are read from this long before the last one known: some become visible late.
const OVERLAP_S: i64 = 300;

/// Stripe keeps events for 30 days; a checkpoint near that is of no use.
const KEPT_S: i64 = 29 * 24 * 60 * 60;

template! {
    /// Customers.
    Customers, describe::<Customer>("customers", "Customer", "A customer"), fetch_customers, webhook_of_customers
}
template! {
    /// Subscriptions, ended ones too.
    Subscriptions, describe::<Subscription>("subscriptions", "Subscription", "A subscription"), fetch_subscriptions, webhook_of_subscriptions
}
template! {
    /// Invoices.
    Invoices, describe::<Invoice>("invoices", "Invoice", "An invoice"), fetch_invoices, webhook_of_invoices
}
template! {
    /// Charges.
    Charges, describe::<Charge>("charges", "Charge", "A charge"), fetch_charges, webhook_of_charges
}
action! {
    /// Creates a customer.
    CreateCustomer, create_customer(), create
}

/// Stripe.
pub fn provider() -> Provider {
    Provider::new("stripe", "https://api.stripe.com")
        .auth(AuthKind::bearer("a secret or restricted key, from Developers > API keys"))
        .docs("https://docs.stripe.com/api")
        .webhooks(WebhookScheme::Stripe)
}

fn describe<T: JsonSchema>(name: &str, model_name: &str, description: &str) -> TemplateInfo {
    provider()
        .template(name)
        .description(format!("{description}s"))
        .model_info(model::<T>(model_name, description))
        .incremental("by /v1/events, which reach 30 days back; without leave to read them, whole each time")
        .deletes("told by events, and noticed by a full refresh")
        .every(Duration::from_secs(300))
}

/// One kind of object: its list, its events, and the event that says it is gone.
struct Kind {
    model: &'static str,
    list: &'static str,
    events: &'static str,
    gone: &'static [&'static str],
}

const CUSTOMERS: Kind = Kind { model: "Customer", list: "customers", events: "customer.", gone: &["customer.deleted"] };
/// A subscription that ended is still there, with its last status.
const SUBSCRIPTIONS: Kind =
    Kind { model: "Subscription", list: "subscriptions", events: "customer.subscription.", gone: &[] };
const INVOICES: Kind = Kind { model: "Invoice", list: "invoices", events: "invoice.", gone: &["invoice.deleted"] };
const CHARGES: Kind = Kind { model: "Charge", list: "charges", events: "charge.", gone: &[] };

async fn fetch_customers(context: &mut SyncContext<'_>) -> Result<()> {
    fetch(context, &CUSTOMERS).await
}

async fn fetch_subscriptions(context: &mut SyncContext<'_>) -> Result<()> {
    fetch(context, &SUBSCRIPTIONS).await
}

async fn fetch_invoices(context: &mut SyncContext<'_>) -> Result<()> {
    fetch(context, &INVOICES).await
}

async fn fetch_charges(context: &mut SyncContext<'_>) -> Result<()> {
    fetch(context, &CHARGES).await
}

fn webhook_of_customers(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    on_event(event, &CUSTOMERS)
}

fn webhook_of_subscriptions(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    on_event(event, &SUBSCRIPTIONS)
}

fn webhook_of_invoices(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    on_event(event, &INVOICES)
}

fn webhook_of_charges(event: &WebhookEvent<'_>) -> Result<WebhookReaction> {
    on_event(event, &CHARGES)
}

/// Webhooks come in any order, `/v1/events` in its own: so each asks for a run, which reads on from there.
fn on_event(event: &WebhookEvent<'_>, kind: &Kind) -> Result<WebhookReaction> {
    let name = text_at(event.body(), "/type")?.unwrap_or_default();
    let concerned = match value_at(event.body(), "/data/object")? {
        Some(object) => of_kind(kind, &name, object)?,
        None => false,
    };
    Ok(if concerned { WebhookReaction::new().run() } else { WebhookReaction::new() })
}

#[derive(Clone, Serialize, Deserialize)]
struct Checkpoint {
    /// The creation time of the latest event known.
    events: i64,
    /// Where the first list goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list_after: Option<String>,
}

async fn fetch(context: &mut SyncContext<'_>, kind: &Kind) -> Result<()> {
    match context.last_checkpoint()? {
        Some(Checkpoint { events, list_after: None }) => read_events(context, kind, events).await,
        Some(Checkpoint { events, list_after }) => read_list(context, kind, Some(events), list_after).await,
        // Before the list is read, so that what changes meanwhile is told again (H46).
        None => {
            let events = latest_event(context).await?;
            read_list(context, kind, events, None).await
        }
    }
}

async fn latest_event(context: &SyncContext<'_>) -> Result<Option<i64>> {
    let response = context.exchange(HttpRequest::get("/v1/events").query("limit", "1")).await?;
    if matches!(response.status, 403 | 404) {
        context.log(LogLevel::Warning, "the key may not read events: every run reads everything");
        return Ok(None);
    }
    let response = response.successful()?;
    let latest = response.elements_at("/data")?.first().map(created).transpose()?;
    // An account without events: from now on, by the clock of whoever is earlier.
    Ok(Some(latest.unwrap_or_else(|| seconds(context.started_ms()))))
}

async fn read_list(
    context: &mut SyncContext<'_>,
    kind: &Kind,
    events: Option<i64>,
    after: Option<String>,
) -> Result<()> {
    let mut request = HttpRequest::get(format!("/v1/{}", kind.list)).query("limit", "100");
    if kind.list == "subscriptions" {
        request = request.query("status", "all");
    }
    let mut pages =
        Pages::new(request, Paging::last_id("starting_after", "/has_more")).records_at("/data").resume(after);
    while let Some(page) = pages.next(context).await? {
        // Without events there is nothing to go on from later, and every run reads everything.
        if let Some(events) = events {
            context.checkpoint(&Checkpoint { events, list_after: page.next })?;
        }
        context.save(kind.model, page.records).await?;
    }
    complete(context, kind.model).await
}

/// Newest event first: of each object the first event met is its latest state; older ones are passed over, so that
/// reading some again undoes nothing.
async fn read_events(context: &mut SyncContext<'_>, kind: &Kind, since: i64) -> Result<()> {
    if seconds(context.now_ms()) - since > KEPT_S {
        return Err(Error::new(
            ErrorKind::SourceReset,
            "Stripe keeps events for 30 days: everything has to be read again",
        ));
    }
    let request =
        HttpRequest::get("/v1/events").query("limit", "100").query("created[gte]", (since - OVERLAP_S).to_string());
    let mut pages = Pages::new(request, Paging::last_id("starting_after", "/has_more")).records_at("/data");
    let (mut newest, mut met) = (since, HashSet::new());
    while let Some(page) = pages.next(context).await? {
        let (mut changed, mut deleted) = (Vec::new(), Vec::new());
        for event in &page.records {
            newest = newest.max(created(event)?);
            let name = string_at(event, "/type")?;
            let Some(object) = value_at(event, "/data/object")? else { continue };
            if !of_kind(kind, &name, object)? {
                continue;
            }
            let id = string_at(object, "/id")?;
            if !met.insert(id.clone()) {
                continue;
            }
            if kind.gone.contains(&name.as_str()) {
                deleted.push(id);
            } else {
                changed.push(PageRecord::from(event.slice_ref(object)));
            }
        }
        context.apply(kind.model, changed, deleted).await?;
    }
    context.checkpoint(&Checkpoint { events: newest, list_after: None })
}

/// `customer.` is also the beginning of `customer.subscription.`: the object itself says what it is.
fn of_kind(kind: &Kind, event: &str, object: &[u8]) -> Result<bool> {
    let wanted = kind.list.trim_end_matches('s');
    Ok(event.starts_with(kind.events) && text_at(object, "/object")?.as_deref() == Some(wanted))
}

fn created(event: &Bytes) -> Result<i64> {
    #[derive(Deserialize)]
    struct Created {
        created: i64,
    }
    Ok(read::<Created>(event)?.created)
}

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Customer {
    /// Its id.
    pub id: String,
    /// When it was created: Unix seconds.
    pub created: i64,
    /// Its e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub customer: String,
    /// `active`, `past_due`, `canceled`, ...
    pub status: String,
    /// When it was created: Unix seconds.
    pub created: i64,
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Invoice {
    /// Its id.
    pub id: String,
    /// Whose it is.
    #[serde(default)]
    pub customer: Option<String>,
    /// `draft`, `open`, `paid`, ...
    #[serde(default)]
    pub status: Option<String>,
    /// Its total, in the smallest unit of the currency.
    pub total: i64,
    /// The currency.
    pub currency: String,
    /// When it was created: Unix seconds.
    pub created: i64,
}

/// A charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Charge {
    /// Its id.
    pub id: String,
    /// The amount, in the smallest unit of the currency.
    pub amount: i64,
    /// The currency.
    pub currency: String,
    /// `succeeded`, `pending` or `failed`.
    pub status: String,
    /// When it was created: Unix seconds.
    pub created: i64,
}

#[derive(Deserialize, JsonSchema)]
struct NewCustomer {
    /// Its e-mail address.
    #[serde(default)]
    email: Option<String>,
    /// Its name.
    #[serde(default)]
    name: Option<String>,
    /// Further fields, as Stripe names them.
    #[serde(flatten)]
    more: Map<String, Value>,
    /// A text that makes a second try create no second customer.
    #[serde(default)]
    idempotency_key: Option<String>,
}

fn create_customer() -> ActionInfo {
    let info = provider().action("create_customer").description("Creates a customer");
    info.input(schema::<NewCustomer>()).output(schema::<Customer>())
}

async fn create(context: &ActionContext<'_>, input: NewCustomer) -> Result<Value> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let named = [("email", input.email), ("name", input.name)];
    fields.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    fields.extend(input.more.into_iter().map(|(name, value)| match value {
        Value::String(text) => (name, text),
        other => (name, other.to_string()),
    }));
    let mut request = HttpRequest::new("POST", "/v1/customers").form(fields);
    if let Some(key) = input.idempotency_key {
        request = request.header("idempotency-key", key);
    }
    context.send(request).await?.json()
}
