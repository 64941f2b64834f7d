//! The pages that a user sees at the end.

/// The outcome that a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Done,
    Refused,
    Stranger,
    Malformed,
    NotFound,
    WrongMethod,
}

impl Page {
    /// Returns the whole response. `application` is the application's name.
    pub(crate) fn response(self, application: &str) -> String {
        let (status, title, text) = match self {
            Page::Done => ("200 OK", "Signed in", "You can close this window and go back to"),
            Page::Refused => {
                ("200 OK", "Not signed in", "The sign-in was refused. You can close this window and go back to")
            }
            Page::Stranger => {
                ("400 Bad Request", "Not signed in", "This page belongs to another sign-in. Begin again in")
            }
            Page::Malformed => {
                ("400 Bad Request", "Not signed in", "The provider's answer is incomplete. Begin again in")
            }
            Page::NotFound => ("404 Not Found", "Nothing here", "This address waits for a sign-in of"),
            Page::WrongMethod => ("405 Method Not Allowed", "Nothing here", "This address waits for a sign-in of"),
        };
        let body = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
             <body style=\"font:16px system-ui,sans-serif;margin:20vh auto;max-width:30em;text-align:center\">\
             <h1>{title}</h1><p>{text} {}.</p></body></html>\n",
            escape(application)
        );
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\r\n{body}",
            body.len()
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
