//! Standard output and standard error. Every text is cleaned here, so that text from an API, a record or a user cannot move the
//! cursor, colour the screen or begin a new line.

mod grammar;
mod meter;
mod stdout;

pub(crate) use grammar::counted;
pub(crate) use meter::Meter;

use std::io::{self, IsTerminal, Write};

use console::{StyledObject, Term, measure_text_width, style, truncate_str};
use highwater::{Change, Error, NetAction, Record, Result, Timestamp, printable};
use serde::Serialize;

use crate::args::SyncName;

/// The longest excerpt of a payload in a plain line outside a terminal.
const EXCERPT: usize = 100;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let off = |name: &str| variable(name).is_some_and(|value| value == "0");
        let forced = variable("CLICOLOR_FORCE").is_some() && !off("CLICOLOR_FORCE");
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        let wanted = forced || (io::stdout().is_terminal() && !dumb && !off("CLICOLOR"));
        // An empty variable counts as unset (no-color.org).
        console::set_colors_enabled(wanted && variable("NO_COLOR").is_none());
        Output { json }
    }

    /// A line of the result, for people. Nothing with `--json`.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            self.raw(format!("{}\n", printable(text.as_ref())).as_bytes());
        }
    }

    /// A line of the result, for machines: an object whose `type` is one of `docs/json.md`. Nothing without `--json`.
    pub(crate) fn object<T: Serialize>(&self, kind: &str, value: &T) {
        #[derive(Serialize)]
        struct Typed<'a, T> {
            r#type: &'a str,
            #[serde(flatten)]
            value: &'a T,
        }
        self.answer(&Typed { r#type: kind, value });
    }

    /// The API's answer to an action, for machines, unchanged. Nothing without `--json`.
    pub(crate) fn answer<T: Serialize>(&self, value: &T) {
        if self.json
            && let Ok(mut text) = serde_json::to_vec(value)
        {
            // A payload is stored verbatim; line breaks between its tokens are not part of its values.
            text.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
            text.push(b'\n');
            self.raw(&text);
        }
    }

    /// The result of a command, for machines.
    pub(crate) fn done<T: Serialize>(&self, what: &str, about: &T) {
        #[derive(Serialize)]
        struct Done<'a, T> {
            done: &'a str,
            #[serde(flatten)]
            about: &'a T,
        }
        self.object("done", &Done { done: what, about });
    }

    /// The result of a command on a sync, for machines.
    pub(crate) fn done_with_sync(&self, what: &str, name: &SyncName) {
        self.done(what, &serde_json::json!({ "connection": name.connection, "sync": name.sync }));
    }

    /// A record, for machines.
    pub(crate) fn record(&self, model: &str, record: &Record) {
        #[derive(Serialize)]
        struct OfModel<'a> {
            model: &'a str,
            #[serde(flatten)]
            record: &'a Record,
        }
        self.object("record", &OfModel { model, record });
    }

    /// A JSON document that is the result: verbatim to a file or a program, as one cleaned line on a terminal.
    pub(crate) fn document(&self, bytes: &[u8]) {
        if io::stdout().is_terminal() {
            self.raw(format!("{}\n", printable(&one_line(&String::from_utf8_lossy(bytes)))).as_bytes());
        } else {
            self.raw(bytes);
        }
    }

    pub(crate) fn raw(&self, bytes: &[u8]) {
        stdout::write(bytes);
    }

    /// Whether the reader of the result has closed the pipe, so that there is nothing left to print.
    pub(crate) fn is_closed(&self) -> bool {
        stdout::is_closed()
    }

    /// Fails if part of the result could not be written. A closed pipe is not an error.
    pub(crate) fn check(&self) -> Result<()> {
        stdout::check()
    }

    /// A note that is not part of the result.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(io::stderr().lock(), "{}", printable(text.as_ref()));
    }

    pub(crate) fn fail(&self, error: &Error) {
        if self.json {
            let _ = writeln!(io::stderr().lock(), "{}", serde_json::json!({ "error": error }));
        } else {
            self.note(format!("highwater: {error}"));
        }
    }

    pub(crate) fn change(&self, model: &str, change: &Change) {
        #[derive(Serialize)]
        struct Line<'a> {
            model: &'a str,
            #[serde(flatten)]
            change: &'a Change,
        }
        self.object("change", &Line { model, change });
        if self.json {
            return;
        }
        let payload = change.record.payload.as_ref().map_or("", |payload| payload.as_str());
        let line = ChangeLine {
            time: time_of_day(change.record.metadata.last_modified_at),
            net: change.net,
            about: format!("{} {}", printable(model), printable(&change.record.id)),
            payload: printable(&one_line(payload)).to_string(),
        };
        let width = Term::stdout().size_checked().map(|(_, width)| usize::from(width));
        self.raw(format!("{}\n", line.fitting(width)).as_bytes());
    }
}

/// A modification on one line. Its texts are cleaned already.
struct ChangeLine {
    time: String,
    net: NetAction,
    about: String,
    payload: String,
}

impl ChangeLine {
    /// Fits the line into a terminal of this width: it shortens first the payload, then the time, then the end of the id.
    fn fitting(&self, width: Option<usize>) -> String {
        // Colours are used on a terminal only.
        let net: StyledObject<&str> = match self.net {
            NetAction::Added => style("added  ").green(),
            NetAction::Updated => style("updated").yellow(),
            NetAction::Deleted => style("deleted").red(),
            NetAction::Left => style("left   ").magenta(),
            _ => style("void   ").dim(),
        };
        let with_time = format!("{} {net} {}", self.time, self.about);
        let taken = measure_text_width(&with_time);
        let left = width.map_or(EXCERPT, |width| width.saturating_sub(taken + 2));
        match width {
            Some(width) if taken > width => truncate_str(&format!("{net} {}", self.about), width, "…").into_owned(),
            _ if left == 0 || self.payload.is_empty() => with_time,
            _ => format!("{with_time}  {}", style(truncate_str(&self.payload, left, "…")).dim()),
        }
    }
}

/// Hours, minutes and seconds.
fn time_of_day(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('T').map_or_else(String::new, |(_, time)| time.chars().take(8).collect())
}

/// A JSON text on one line: line breaks and tabs between its tokens are not part of its values.
pub(crate) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r', '\t'], " ")
}

/// A time for people: always with milliseconds, so that columns stay aligned.
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    if text.contains('.') { text } else { text.replace('Z', ".000Z") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_no_wider_than_the_terminal() {
        let line = |about: &str| ChangeLine {
            time: "12:00:00".to_owned(),
            net: NetAction::Updated,
            about: about.to_owned(),
            payload: "x".repeat(300),
        };
        for width in 1..200 {
            for about in ["Issue 1", "Issue a-long-id-of-forty-bytes-and-a-few-more-of-them", "名 名名名名名名名名"]
            {
                let shown = line(about).fitting(Some(width));
                assert!(measure_text_width(&shown) <= width, "{width}: {shown}");
            }
        }
        assert_eq!(line("Issue 1").fitting(Some(20)), "updated Issue 1");
        assert_eq!(line("Issue 1").fitting(Some(24)), "12:00:00 updated Issue 1");
        assert_eq!(line("Issue 1").fitting(Some(30)), "12:00:00 updated Issue 1  xxx…");
        assert_eq!(measure_text_width(&line("Issue 1").fitting(None)), 24 + 2 + EXCERPT);
    }
}
