//! What the forms of destinations do.

use highwater_engine::webhooks::Destination;

use super::super::visit::{Answer, Visit};
use super::super::words::{counted, cut};
use super::one;
use crate::error::ApiError;

pub(in super::super) async fn change(visit: Visit) -> Answer {
    let (outbox, id) = (&visit.state().outbox, visit.field("id"));
    let to = visit.to(["webhooks", id]);
    match visit.field("do") {
        "add" => add(&visit).await,
        "update" => {
            outbox.update_public(id, |destination| filled(&visit, destination)).await?;
            visit.done(to, "Saved.")
        }
        "enable" => {
            let enabled = |mut destination: Destination| {
                destination.disabled = None;
                destination
            };
            outbox.update_public(id, enabled).await?;
            visit.done(to, "Deliveries go on.")
        }
        "secret" => {
            let secret = outbox.rotate_secret(id).await?;
            one::show(&visit, Some(secret.expose())).await
        }
        "test" => {
            let tried = outbox.test(id).await?;
            let said = match tried.error {
                None => "The test was delivered.".to_owned(),
                Some(error) => format!("The test was not delivered: {}.", cut(&error, 300)),
            };
            visit.done(to, said)
        }
        "remove" => {
            outbox.remove(id).await?;
            visit.done(visit.to(["webhooks"]), "The destination is removed.")
        }
        "replay" => {
            outbox.replay(id, visit.field("row")).await?;
            visit.done(to, "The webhook is queued again.")
        }
        "replay_all" => {
            let count = outbox.replay_all(id).await? as u64;
            visit.done(to, format!("{} queued again.", counted(count, "webhook is", "webhooks are")))
        }
        "discard" => {
            outbox.discard(id, visit.field("row")).await?;
            visit.done(to, "The webhook is discarded: it is never delivered.")
        }
        _ => Err(ApiError::bad("invalid_body", "there is no such button: open the page again")),
    }
}

async fn add(visit: &Visit) -> Answer {
    let (outbox, id) = (&visit.state().outbox, visit.field("id"));
    if outbox.destination(id).await.is_ok() {
        return Err(ApiError::bad("invalid_body", "a destination has this id already: choose another"));
    }
    let format = visit.state().compat.webhook_format();
    let destination = filled(visit, Destination::new(id, visit.field("url")).format(format));
    outbox.add_public(destination).await?;
    match outbox.rotate_secret(id).await {
        Ok(secret) => one::show(visit, Some(secret.expose())).await,
        // The program holds the secrets itself.
        Err(error) if error.kind() == highwater_core::ErrorKind::Unsupported => {
            let said = "The destination is added. The program that delivers holds its signing secret.";
            visit.done(visit.to(["webhooks", id]), said)
        }
        Err(error) => {
            // A destination whose deliveries cannot be signed is not what was asked for.
            outbox.remove(id).await?;
            Err(error.into())
        }
    }
}

/// The destination with what the form says.
fn filled(visit: &Visit, mut destination: Destination) -> Destination {
    let url = visit.field("url");
    if destination.url != url {
        destination.disabled = None;
    }
    destination.url = url.to_owned();
    destination.connection = visit.optional("connection").map(str::to_owned);
    destination.integration = visit.optional("integration").map(str::to_owned);
    destination.on_error = visit.optional("on_error").is_some();
    destination.on_unchanged = visit.optional("on_unchanged").is_some();
    destination.on_auth = visit.optional("on_auth").is_some();
    destination.on_forward = visit.optional("on_forward").is_some();
    destination
}
