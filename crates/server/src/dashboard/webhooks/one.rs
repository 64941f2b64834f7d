//! One destination: its state, what waits for it, and what could not be delivered.

use highwater_engine::webhooks::{Destination, OutboxRow};
use maud::{Markup, html};

use super::super::frame::{Page, button, csrf, fact};
use super::super::visit::{Answer, Visit};
use super::super::words::{Look, cut, id, state, when};
use super::{fields, look};
use crate::error::ApiError;
use crate::keys::Scope;

/// Deliveries that are listed.
const LISTED: usize = 50;

pub(in super::super) async fn one(visit: Visit) -> Answer {
    show(&visit, None).await
}

/// `secret`: a new one, to be shown this once.
pub(super) async fn show(visit: &Visit, secret: Option<&str>) -> Answer {
    let outbox = &visit.state().outbox;
    let wanted = Some(visit.path("id")).filter(|id| !id.is_empty()).unwrap_or_else(|| visit.field("id"));
    let destination = outbox.destinations().await?.into_iter().find(|destination| destination.id == wanted);
    let destination =
        destination.ok_or_else(|| ApiError::not_found("there is no such destination: choose one of the list"))?;
    let waiting = outbox.waiting(wanted, "", LISTED).await?;
    let dead = outbox.dead_letters(wanted, "", LISTED).await?;
    let signed = outbox.has_secret(wanted).await.unwrap_or(false);
    let lead = html! { (look(&destination, dead.len() as u64)) " " (cut(&destination.url, 200)) };
    let may = visit.may(Scope::Admin);
    let action = visit.to(["webhooks"]);
    let act = |what: &str, label: &str| button(visit, &action, &[("do", what), ("id", wanted)], "plain-button", label);
    let content = html! {
        @if let Some(secret) = secret {
            div.notice role="status" { p { "The signing secret. It is shown this once: give it to the program that receives. The one before signs too, until the next rotation." } pre data-copy="the secret" { (secret) } }
        }
        @if let Some(why) = &destination.disabled {
            div.error { p { "Deliveries have stopped: " (cut(why, 300)) } @if may { (act("enable", "Deliver again")) } }
        }
        div.split {
            div {
                section {
                    h2 { "Dead letters" }
                    @if dead.is_empty() { p.quiet { "None: each webhook was taken, or is still tried." } } @else {
                        @if may { p { (button(visit, &action, &[("do", "replay_all"), ("id", wanted)], "primary", "Replay all")) } }
                        (letters(visit, &dead, may.then_some((wanted, action.as_str()))))
                    }
                }
                section {
                    h2 { "Waiting" }
                    @if waiting.is_empty() { p.quiet { "Nothing waits." } } @else { (letters(visit, &waiting, None)) }
                }
                @if may {
                    details.card {
                        summary { "Change it" }
                        form method="post" action=(action) {
                            (csrf(visit))
                            input type="hidden" name="do" value="update";
                            input type="hidden" name="id" value=(wanted);
                            (fields(Some(&destination)))
                            button.primary { "Save" }
                        }
                    }
                    details.card {
                        summary { "Remove the destination" }
                        p { "Its waiting webhooks and dead letters go with it." }
                        (button(visit, &action, &[("do", "remove"), ("id", wanted)], "danger", "Remove the destination"))
                    }
                }
            }
            (facts(&destination, signed))
        }
    };
    let buttons = html! {
        @if may { (act("test", "Send a test")) (act("secret", "Rotate the secret")) }
    };
    let page = Page::new(visit, cut(wanted, 80), lead).under("Webhooks", visit.to(["webhooks"])).live();
    Ok(page.beside(buttons).show(content))
}

fn facts(destination: &Destination, signed: bool) -> Markup {
    let of = |what: &Option<String>| html! { (cut(what.as_deref().unwrap_or("all"), 80)) };
    let yes = |told: bool| html! { @if told { "yes" } @else { "no" } };
    html! {
        aside.side aria-label="About the destination" { dl {
            (fact("URL", &html! { (cut(&destination.url, 300)) }))
            (fact("Signing secret", &if signed { state(Look::Well, "kept here") } else { state(Look::Off, "held by the program") }))
            (fact("Integration", &of(&destination.integration)))
            (fact("Connection", &of(&destination.connection)))
            (fact("Failed runs", &yes(destination.on_error)))
            (fact("Runs that changed nothing", &yes(destination.on_unchanged)))
            (fact("Sign-ins", &yes(destination.on_auth)))
            (fact("Webhooks of providers", &yes(destination.on_forward)))
            (fact("Kept at most", &html! { (destination.max_rows) " deliveries" }))
        } }
    }
}

fn letters(visit: &Visit, rows: &[OutboxRow], replay: Option<(&str, &str)>) -> Markup {
    html! {
        @if rows.len() == LISTED { p.quiet { "The oldest " (LISTED) "." } }
        div.scroll { table.tall {
            thead { tr { th { "Made" } th.number.wide { "Tries" } th { "Last answer" } th { "Body" } } }
            tbody { @for row in rows {
                tr {
                    td { (when(row.created_at, visit.now)) }
                    td.number.wide { (row.attempts) }
                    td {
                        @match &row.last_error { Some(error) => { (cut(error, 200)) }, None => { span.quiet { "not tried yet" } } }
                        @if replay.is_none() && row.attempts > 0 { div.quiet { "again " (when(row.next_try_at, visit.now)) } }
                    }
                    td.long {
                        details { summary { (id(&row.id)) }
                            p.hint { "Sent with " code { "webhook-id: msg_" (row.id) } ", " code { "webhook-timestamp" } " and " code { "webhook-signature" } "." }
                            pre data-copy="the body" { (pretty(&row.body)) }
                        }
                        @if let Some((destination, action)) = replay {
                            div.doings {
                                (button(visit, action, &[("do", "replay"), ("id", destination), ("row", &row.id)], "small", "Replay"))
                                (button(visit, action, &[("do", "discard"), ("id", destination), ("row", &row.id)], "small", "Discard"))
                            }
                        }
                    }
                }
            } }
        } }
    }
}

/// A body with its members on lines of their own.
fn pretty(body: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_str(body).ok();
    cut_lines(&value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| body.to_owned()))
}

fn cut_lines(text: &str) -> String {
    text.lines().take(200).map(|line| cut(line, 300)).collect::<Vec<_>>().join("\n")
}
