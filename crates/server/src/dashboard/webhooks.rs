//! Webhooks to other programs: does our backend hear us?

mod change;
mod one;

pub(super) use change::change;
pub(super) use one::one;

use highwater_engine::webhooks::Destination;
use maud::{Markup, html};

use super::frame::{Page, csrf, empty};
use super::visit::{Answer, Visit};
use super::words::{Look, counted, cut, number, state};
use crate::keys::Scope;

/// Deliveries that are counted: their bodies are read with them.
pub(super) const COUNTED: usize = 100;

pub(super) async fn list(visit: Visit) -> Answer {
    let outbox = &visit.state().outbox;
    let mut rows = Vec::new();
    for destination in outbox.destinations().await? {
        let waiting = outbox.waiting(&destination.id, "", COUNTED).await?.len() as u64;
        let dead = outbox.dead_letters(&destination.id, "", COUNTED).await?.len() as u64;
        rows.push((destination, waiting, dead));
    }
    let dead: u64 = rows.iter().map(|(_, _, dead)| dead).sum();
    let lead = match (rows.len(), dead) {
        (0, _) => html! { "No program is told of changes." },
        (_, 0) => html! { "Every webhook was delivered, or is on its way." },
        (_, dead) => html! { (counted(dead, "webhook", "webhooks")) " could not be delivered." },
    };
    let content = html! {
        @if rows.is_empty() {
            (empty("A destination is an address that is told when a sync has changed something", &html! {
                @if visit.may(Scope::Admin) { "Add one below. Each delivery to it is signed." } @else { "Somebody with an admin's key can add one." }
            }))
        } @else {
            div.scroll { table {
                thead { tr { th { "Destination" } th { "State" } th.number { "Waiting" } th.number { "Dead letters" } } }
                tbody { @for (destination, waiting, dead) in &rows {
                    tr {
                        td.long { a href=(visit.to(["webhooks", &destination.id])) { (cut(&destination.id, 80)) } div.quiet { (cut(&destination.url, 120)) } }
                        td { (look(destination, *dead)) }
                        td.number { (number(*waiting)) @if *waiting == COUNTED as u64 { "+" } }
                        td.number { (number(*dead)) @if *dead == COUNTED as u64 { "+" } }
                    }
                } }
            } }
        }
        @if visit.may(Scope::Admin) {
            details.card open[rows.is_empty()] {
                summary { "Add a destination" }
                form method="post" action=(visit.to(["webhooks"])) {
                    (csrf(&visit))
                    input type="hidden" name="do" value="add";
                    label { "Id" input name="id" required maxlength="100" placeholder="backend"; }
                    (fields(None))
                    button.primary { "Add" }
                }
            }
        }
    };
    Ok(Page::new(&visit, "Webhooks", lead).live().show(content))
}

fn look(destination: &Destination, dead: u64) -> Markup {
    match &destination.disabled {
        Some(_) => state(Look::Failed, "disabled"),
        None if dead > 0 => state(Look::Failed, "has dead letters"),
        None => state(Look::Well, "on"),
    }
}

/// The fields of a destination's form.
fn fields(known: Option<&Destination>) -> Markup {
    let text = |of: fn(&Destination) -> Option<String>| known.and_then(of).unwrap_or_default();
    let on = |of: fn(&Destination) -> bool, otherwise: bool| known.map_or(otherwise, of);
    html! {
        label { "URL" input name="url" type="url" required maxlength="2048" value=(text(|known| Some(known.url.clone()))) placeholder="https://app.example.com/hooks/highwater"; }
        label { "Only of the integration" input name="integration" maxlength="200" value=(text(|known| known.integration.clone())); }
        label { "Only of the connection" input name="connection" maxlength="200" value=(text(|known| known.connection.clone())); span.hint { "Empty: of all." } }
        fieldset {
            legend { "It is told of" }
            label.check { input type="checkbox" name="on_error" value="yes" checked[on(|known| known.on_error, true)]; " failed runs too" }
            label.check { input type="checkbox" name="on_unchanged" value="yes" checked[on(|known| known.on_unchanged, false)]; " runs that changed nothing too" }
            label.check { input type="checkbox" name="on_auth" value="yes" checked[on(|known| known.on_auth, true)]; " sign-ins that end or are renewed" }
            label.check { input type="checkbox" name="on_forward" value="yes" checked[on(|known| known.on_forward, false)]; " webhooks of providers, as they came" }
        }
    }
}
