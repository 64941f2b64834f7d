//! Stripe: customers, subscriptions, invoices, charges. The first run reads the lists; from then on `/v1/events`
//! has every change and delete.

mod events;

use std::time::Duration;

use highwater_core::Result;
use highwater_template::actions::{ActionContext, ActionInfo};
use highwater_template::auth::AuthKind;
use highwater_template::records::{text_at, value_at};
use highwater_template::webhooks::{WebhookEvent, WebhookReaction, WebhookRecipient, WebhookScheme};
use highwater_template::{HttpRequest, Pages, Paging, Provider, SyncContext, TemplateInfo, Verification};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{HasSchema, Resumed, action, complete, model, schema, schemas, template};

schemas!("stripe": Charge, Customer, Invoice, NewCustomer, Subscription);

/// The version of the API that every request names. Without one, Stripe uses the account's default, which differs between
/// accounts and changes with an upgrade. <https://docs.stripe.com/api/versioning>
const VERSION: &str = "2026-09-30.endive";

template! {
    /// Customers.
    Customers, describe::<Customer>("customers", "Customer", "A customer"), fetch_customers, webhook_of_customers
}
template! {
    /// Subscriptions, with those that ended.
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

/// Describes Stripe.
pub fn provider() -> Provider {
    Provider::new("stripe", "https://api.stripe.com")
        // https://docs.stripe.com/keys
        .auth(
            AuthKind::bearer("a secret or restricted key, from Developers > API keys")
                .page("https://dashboard.stripe.com/apikeys"),
        )
        // https://docs.stripe.com/api/accounts/retrieve: without an id, the key's own account
        .verification(
            Verification::get("/v1/account")
                .id("/id")
                .name("/settings/dashboard/display_name")
                .name("/email")
                .name("/id"),
        )
        .header("stripe-version", VERSION)
        .docs("https://docs.stripe.com/api")
        .webhooks(WebhookScheme::Stripe)
        .webhook_recipient(WebhookRecipient::Account("/account".into()))
}

fn describe<T: HasSchema>(name: &str, model_name: &str, description: &str) -> TemplateInfo {
    provider()
        .template(name)
        .description(format!("The account's {name}"))
        .model_info(model::<T>(model_name, description))
        .incremental("by /v1/events, which reach 30 days back; without leave to read them, whole each time")
        .deletes("told by events, and detected by a full refresh")
        .interval(Duration::from_secs(300))
}

/// A kind of object: its list, its events, and the events of its delete.
struct Kind {
    model: &'static str,
    list: &'static str,
    events: &'static str,
    gone: &'static [&'static str],
}

const CUSTOMERS: Kind = Kind { model: "Customer", list: "customers", events: "customer.", gone: &["customer.deleted"] };
/// A subscription that ended still exists, with its last status.
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

/// Webhooks come in any order, and `/v1/events` is in order. So each webhook requests a run, which reads on there.
fn on_event(event: &WebhookEvent<'_>, kind: &Kind) -> Result<WebhookReaction> {
    let name = text_at(event.body(), "/type")?.unwrap_or_default();
    let concerned = match value_at(event.body(), "/data/object")? {
        Some(object) => events::of_kind(kind, &name, object)?,
        None => false,
    };
    Ok(if concerned { WebhookReaction::new().request_run() } else { WebhookReaction::new() })
}

#[derive(Clone, Serialize, Deserialize)]
struct Checkpoint {
    /// The creation time of the latest event known.
    events: i64,
    /// Where the first list continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    list_after: Option<String>,
}

async fn fetch(context: &mut SyncContext<'_>, kind: &Kind) -> Result<()> {
    match context.last_checkpoint()? {
        Some(Checkpoint { events, list_after: None }) => events::read(context, kind, events).await,
        Some(Checkpoint { events, list_after }) => {
            read_list(context, kind, Some(events), list_after).await?;
            // An earlier run began the list.
            events::read(context, kind, events).await
        }
        // Before the list is read, so that the events have what changes meanwhile.
        None => {
            let events = events::latest(context).await?;
            read_list(context, kind, events, None).await
        }
    }
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
    let list = || Pages::new(request.clone(), Paging::last_id("starting_after", "/has_more")).records_at("/data");
    // The object after which the list continues may have been deleted.
    let mut pages = Resumed::new(list, after);
    while let Some(page) = pages.next(context).await? {
        // Without events, every run reads everything.
        if let Some(events) = events {
            context.checkpoint(&Checkpoint { events, list_after: page.next })?;
        }
        context.save(kind.model, page.records).await?;
    }
    complete(context, kind.model).await
}

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// The id of its customer.
    pub customer: String,
    /// `active`, `past_due`, `canceled`, ...
    pub status: String,
    /// When it was created: Unix seconds.
    pub created: i64,
}

/// An invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Invoice {
    /// Its id.
    pub id: String,
    /// The id of its customer.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// A text by which Stripe recognises a repetition, so that it does not create a second customer.
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
