//! Webhooks to other programs: does our backend hear us?

use highwater_engine::webhooks::{Destination, Outbox, OutboxRow};
use maud::{Markup, html};

use super::frame::{Page, button, csrf, empty};
use super::visit::{Answer, Visit};
use super::words::{Look, counted, cut, number, state, when};
use crate::error::ApiError;
use crate::keys::Scope;

/// Deliveries that are counted.
const COUNTED: usize = 1000;
/// Deliveries that are listed.
const LISTED: usize = 100;

pub(super) async fn list(visit: Visit) -> Answer {
    let outbox = Outbox::new(visit.engine());
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
                @if visit.may(Scope::Admin) { "Add one below. The program that delivers holds its signing secret." } @else { "Somebody with an admin's key can add one." }
            }))
        } @else {
            div.scroll { table {
                thead { tr { th { "Destination" } th { "State" } th.number { "Waiting" } th.number { "Dead letters" } } }
                tbody { @for (destination, waiting, dead) in &rows {
                    tr {
                        td { a href=(visit.to(["webhooks", &destination.id])) { (cut(&destination.id, 80)) } div.quiet { (cut(&destination.url, 120)) } }
                        td { (look(destination, *dead)) }
                        td.number { (number(*waiting)) @if *waiting == COUNTED as u64 { "+" } }
                        td.number { (number(*dead)) @if *dead == COUNTED as u64 { "+" } }
                    }
                } }
            } }
        }
        @if visit.may(Scope::Admin) {
            section {
                h2 { "Add a destination" }
                form.card method="post" action=(visit.to(["webhooks"])) {
                    (csrf(&visit))
                    input type="hidden" name="do" value="add";
                    label { "Id" input name="id" required maxlength="200" placeholder="backend"; }
                    label { "URL" input name="url" type="url" required placeholder="https://app.example.com/hooks/highwater"; }
                    label.check { input type="checkbox" name="on_error" value="yes" checked; " Tell of failed runs too" }
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

pub(super) async fn one(visit: Visit) -> Answer {
    let (outbox, id) = (Outbox::new(visit.engine()), visit.path("id"));
    let destination = outbox.destinations().await?.into_iter().find(|destination| destination.id == id);
    let destination =
        destination.ok_or_else(|| ApiError::not_found("there is no such destination: choose one of the list"))?;
    let waiting = outbox.waiting(id, "", LISTED).await?;
    let dead = outbox.dead_letters(id, "", LISTED).await?;
    let lead = html! { (look(&destination, dead.len() as u64)) " " (cut(&destination.url, 200)) };
    let may = visit.may(Scope::Admin);
    let action = visit.to(["webhooks"]);
    let content = html! {
        @if let Some(why) = &destination.disabled { div.error { p { "It is disabled: " (cut(why, 300)) } } }
        section {
            h2 { "Dead letters" }
            @if dead.is_empty() { p.quiet { "None: each webhook was taken, or is still tried." } } @else {
                @if may { p { (button(&visit, &action, &[("do", "replay_all"), ("id", id)], "primary", "Replay all")) } }
                (letters(&visit, &dead, may.then_some((id, action.as_str()))))
            }
        }
        section {
            h2 { "Waiting" }
            @if waiting.is_empty() { p.quiet { "Nothing waits." } } @else { (letters(&visit, &waiting, None)) }
        }
        @if may {
            details.card {
                summary { "Remove the destination" }
                p { "Its waiting webhooks and dead letters go with it." }
                (button(&visit, &action, &[("do", "remove"), ("id", id)], "danger", "Remove the destination"))
            }
        }
    };
    let page = Page::new(&visit, cut(id, 80), lead).under("Webhooks", visit.to(["webhooks"])).live();
    Ok(page.show(content))
}

fn letters(visit: &Visit, rows: &[OutboxRow], replay: Option<(&str, &str)>) -> Markup {
    html! {
        @if rows.len() == LISTED { p.quiet { "The oldest " (LISTED) "." } }
        div.scroll { table.tall {
            thead { tr { th { "Made" } th.number { "Tries" } th { "Last answer" } th { "Body" } @if replay.is_some() { th { "Do" } } } }
            tbody { @for row in rows {
                tr {
                    td { (when(row.created_at, visit.now)) }
                    td.number { (row.attempts) }
                    td { @match &row.last_error { Some(error) => { (cut(error, 200)) }, None => { span.quiet { "not tried yet" } } } }
                    td { details { summary { code { (cut(&row.id, 40)) } } pre { (cut(&row.body, 4000)) } } }
                    @if let Some((destination, action)) = replay {
                        td { (button(visit, action, &[("do", "replay"), ("id", destination), ("row", &row.id)], "small", "Replay")) }
                    }
                }
            } }
        } }
    }
}

pub(super) async fn change(visit: Visit) -> Answer {
    let (outbox, id) = (Outbox::new(visit.engine()), visit.field("id"));
    let to = visit.to(["webhooks", id]);
    match visit.field("do") {
        "add" => {
            let known = outbox.destinations().await?.iter().any(|destination| destination.id == id);
            if known {
                return Err(ApiError::bad("invalid_body", "a destination has this id already: choose another"));
            }
            let on_error = !visit.field("on_error").is_empty();
            let destination = Destination::new(id, visit.field("url")).on_error(on_error);
            outbox.add_public(destination.format(visit.state().compat.webhook_format())).await?;
            visit.done(to, "The destination is added. It is told of the runs that end from now on.")
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
        _ => Err(ApiError::bad("invalid_body", "there is no such button: open the page again")),
    }
}
