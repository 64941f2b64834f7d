//! What surrounds each page: the head, the menu, notices and errors.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::visit::Visit;
use crate::error::ApiError;

/// Only the server's own style, script and icon, and forms to itself.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages of the menu: the part of the address, the name, and the strokes of its icon.
const MENU: [(&str, &str, &str); 7] = [
    ("", "Home", "M2.5 7 8 2.5 13.5 7v6.5h-4V10h-3v3.5h-4z"),
    ("integrations", "Integrations", "M5.5 2v3M10.5 2v3M4 5h8v3a4 4 0 0 1-8 0zM8 12v2.5"),
    (
        "connections",
        "Connections",
        "M6.5 9.5a3 3 0 0 0 4.2 0l2-2a3 3 0 0 0-4.2-4.2l-.8.8M9.5 6.5a3 3 0 0 0-4.2 0l-2 2a3 3 0 0 0 4.2 4.2l.8-.8",
    ),
    ("records", "Records", "M2.5 3h11v10h-11zM2.5 6.5h11M2.5 9.8h11M6.5 6.5V13"),
    ("runs", "Logs", "M3 4h10M3 8h10M3 12h6"),
    ("webhooks", "Webhooks", "M2.5 8h8M7.5 4.5 11 8l-3.5 3.5M13.5 3v10"),
    ("environment", "Environment", "M2.5 4.5h6M11.5 4.5h2M2.5 11.5h2M7.5 11.5h6M10 3v3M6 10v3"),
];

/// A page: its title, what its first line answers, and the rest.
pub(super) struct Page<'v> {
    visit: &'v Visit,
    title: String,
    above: Vec<(String, String)>,
    lead: Markup,
    beside: Markup,
    tabs: Markup,
    live: bool,
}

impl<'v> Page<'v> {
    pub(super) fn new(visit: &'v Visit, title: impl Into<String>, lead: Markup) -> Self {
        let none = || html! {};
        Page { visit, title: title.into(), above: Vec::new(), lead, beside: none(), tabs: none(), live: false }
    }

    /// Names the page that this one belongs to.
    pub(super) fn under(mut self, title: &str, address: String) -> Self {
        self.above.push((title.to_owned(), address));
        self
    }

    /// Puts the page's main buttons beside its title.
    pub(super) fn beside(mut self, buttons: Markup) -> Self {
        self.beside = buttons;
        self
    }

    /// Lists the parts of the page's subject: name, address, and whether it is this page.
    pub(super) fn tabs(mut self, tabs: &[(&str, String, bool)]) -> Self {
        self.tabs = html! {
            nav.tabs aria-label="Parts" {
                @for (name, address, here) in tabs { a href=(address) aria-current=[here.then_some("page")] { (name) } }
            }
        };
        self
    }

    /// Lets the browser look for changes.
    pub(super) fn live(mut self) -> Self {
        self.live = true;
        self
    }

    pub(super) fn show(self, content: Markup) -> Response {
        let notice = self.visit.take_notice();
        self.answer(StatusCode::OK, notice.as_deref(), content)
    }

    fn answer(self, status: StatusCode, notice: Option<&str>, content: Markup) -> Response {
        let visit = self.visit;
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            (menu(visit))
            main #main data-live[self.live] data-events=[self.live.then(|| visit.to(["events"]))] {
                div.top {
                    div {
                        @if !self.above.is_empty() {
                            nav.above aria-label="Above this page" { @for (name, address) in &self.above { a href=(address) { (name) } } }
                        }
                        h1 { (self.title) }
                        p.lead { (self.lead) }
                    }
                    div.beside { (self.beside) }
                }
                (self.tabs)
                @if let Some(notice) = notice { p.notice role="status" { (notice) } }
                (content)
            }
            p.news role="status" hidden { button { "There is something new: show it" } }
        };
        whole(&visit.base, status, &self.title, None, &body)
    }
}

fn menu(visit: &Visit) -> Markup {
    let at = visit.address.split(['?', '/']).nth(2).unwrap_or_default();
    let at = match at {
        "connect" => "connections",
        "record" => "records",
        "lines" => "runs",
        at => at,
    };
    html! {
        header { div.menu {
            a.brand href=(visit.to([])) { img src={ (visit.base) "/dashboard/icon.svg" } alt="" width="20" height="20"; "Highwater" }
            nav aria-label="Pages" {
                @for (page, name, icon) in MENU {
                    a href=(visit.to_with(page, &[]).trim_end_matches('/')) aria-current=[(page == at).then_some("page")] {
                        svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { path d=(icon) {} }
                        (name)
                    }
                }
            }
            form.out method="post" action=(visit.to(["sign-out"])) {
                (csrf(visit))
                span.quiet title={ "Signed in with " (visit.session.key.name) } { (visit.session.key.scope) }
                button.plain { "Sign out" }
            }
        } }
    }
}

/// The token that each form carries.
pub(super) fn csrf(visit: &Visit) -> Markup {
    html! { input type="hidden" name="csrf" value=(visit.session.csrf); }
}

/// A form that is one button.
pub(super) fn button(visit: &Visit, action: &str, fields: &[(&str, &str)], class: &str, label: &str) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (csrf(visit))
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button.(class) { (label) }
        }
    }
}

/// A line of a list of facts.
pub(super) fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// What stands where there is nothing yet: what would be here, and the next step.
pub(super) fn empty(title: &str, next: &Markup) -> Markup {
    html! { div.empty { h2 { (title) } p { (next) } } }
}

/// An error's sentence and code.
pub(super) fn error_note(error: &ApiError) -> Markup {
    let json = error.json();
    let text = |name: &str| json["error"][name].as_str().unwrap_or_default().to_owned();
    html! { div.error role="alert" { p { (sentence(&text("message"))) } code { (text("code")) } } }
}

/// The page of an error, for somebody who is signed in.
pub(super) fn fault(visit: &Visit, error: ApiError) -> Response {
    let note = error_note(&error);
    let status = error.into_response().status();
    let title = if status == StatusCode::NOT_FOUND { "Not found" } else { "That did not work" };
    let page =
        Page::new(visit, title, html! { "Nothing was changed by this request, unless the sentence below says so." });
    page.answer(
        status,
        None,
        html! { (note) p { a href=(visit.to([])) { "Go to the home page" } " or go back and try again." } },
    )
}

/// The page of an error, for anybody.
pub(super) fn outside(base: &str, error: ApiError) -> Response {
    let note = error_note(&error);
    let status = error.into_response().status();
    bare(base, status, "That did not work", &html! { div.card { h1 { "That did not work" } (note) } })
}

/// A page without the menu.
pub(super) fn bare(base: &str, status: StatusCode, title: &str, content: &Markup) -> Response {
    whole(base, status, title, None, &html! { main.bare #main { (content) } })
}

/// A page without the menu that leads on to another address, also one elsewhere, by itself.
pub(super) fn leading_on(base: &str, title: &str, to: &str, content: &Markup) -> Response {
    whole(base, StatusCode::OK, title, Some(to), &html! { main.bare #main { (content) } })
}

fn whole(base: &str, status: StatusCode, title: &str, lead_on: Option<&str>, body: &Markup) -> Response {
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(to) = lead_on { meta http-equiv="refresh" content={ "0;url=" (to) }; }
                title { (title) " · Highwater" }
                link rel="stylesheet" href={ (base) "/dashboard/style.css" };
                link rel="icon" href={ (base) "/dashboard/icon.svg" } type="image/svg+xml";
                script type="module" src={ (base) "/dashboard/live.js" } {}
            }
            body { (body) }
        }
    };
    // A stricter policy for referrers would have forms sent without the origin that they are checked by.
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
    ];
    (status, headers, text.into_string()).into_response()
}

/// Makes a library's message a sentence.
pub(super) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', ')', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
