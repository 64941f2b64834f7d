//! What goes to the screen, the pipe, and whoever reads errors.

use std::io::{self, IsTerminal, Write};
use std::process;
use std::time::{Duration, Instant};

use console::{Term, measure_text_width, style, truncate_str};
use highwater::template::Progress;
use highwater::{Change, Error, NetAction};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Longest excerpt of a payload in a plain line that goes to no terminal.
const EXCERPT: usize = 100;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json }
    }

    /// A line of the result, for people. Nothing with `--json`.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            self.raw(format!("{}\n", text.as_ref()).as_bytes());
        }
    }

    /// A line of the result, for machines. Nothing without `--json`.
    pub(crate) fn object<T: Serialize>(&self, value: &T) {
        if self.json
            && let Ok(mut text) = serde_json::to_vec(value)
        {
            text.push(b'\n');
            self.raw(&text);
        }
    }

    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
            // Whoever read this went away: there is nobody left to work for.
            process::exit(0);
        }
    }

    /// Something to know that is not the result.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
    }

    pub(crate) fn fail(&self, error: &Error) {
        if self.json {
            let told =
                serde_json::json!({ "error": { "kind": format!("{:?}", error.kind()), "message": error.to_string() } });
            let _ = writeln!(io::stderr().lock(), "{told}");
        } else {
            let text = error.to_string().replace('\n', " ");
            let _ = writeln!(io::stderr().lock(), "highwater: {text}");
        }
    }

    pub(crate) fn change(&self, model: &str, change: &Change) {
        #[derive(Serialize)]
        struct Line<'a> {
            model: &'a str,
            #[serde(flatten)]
            change: &'a Change,
        }
        self.object(&Line { model, change });
        if self.json {
            return;
        }
        let payload = change.record.payload.as_ref().map_or("", |payload| payload.as_str());
        let excerpt = truncate_str(payload, self.excerpt_width(model, &change.record.id), "…").replace('\n', " ");
        // Colours go to a terminal alone, and not where NO_COLOR is set.
        let net = match change.net {
            NetAction::Added => style("added  ").green(),
            NetAction::Updated => style("updated").yellow(),
            NetAction::Deleted => style("deleted").red(),
            NetAction::Left => style("left   ").magenta(),
            _ => style("void   ").dim(),
        };
        let time = change.record.metadata.last_modified_at.format("%H:%M:%S");
        self.line(format!("{time} {net} {model} {}  {}", change.record.id, style(excerpt).dim()));
    }

    /// Room for a payload on its line: what is left of a terminal's width.
    fn excerpt_width(self, model: &str, id: &str) -> usize {
        let taken = "00:00:00 updated ".len() + measure_text_width(model) + measure_text_width(id) + 3;
        match Term::stdout().size_checked() {
            Some((_, width)) => usize::from(width).saturating_sub(taken),
            None => EXCERPT,
        }
    }
}

/// How a run is coming along: a bar on a terminal, a line a second elsewhere.
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    begun: Instant,
    told: Instant,
    quiet: bool,
}

impl Meter {
    pub(crate) fn new(output: &Output, title: &str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Meter { bar, begun: Instant::now(), told: Instant::now(), quiet: output.json }
    }

    pub(crate) fn update(&mut self, output: &Output, progress: &Progress, message: Option<&str>) {
        let text = self.text(progress);
        match &self.bar {
            Some(bar) => bar.set_message(match message {
                Some(message) => format!("{text} · {message}"),
                None => text,
            }),
            None if self.quiet => {}
            None if message.is_some() || self.told.elapsed() > Duration::from_secs(1) => {
                self.told = Instant::now();
                output.note(message.map_or(text, str::to_owned));
            }
            None => {}
        }
    }

    pub(crate) fn text(&self, progress: &Progress) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        let of = progress.total.map_or(String::new(), |total| format!(" of {total}"));
        let aside = if progress.set_aside > 0 { format!(", {} set aside", progress.set_aside) } else { String::new() };
        format!(
            "{}{of} records ({:.0}/s): {} added, {} updated, {} unchanged, {} deleted{aside}",
            progress.fetched,
            progress.fetched as f64 / seconds,
            progress.added,
            progress.updated,
            progress.unchanged,
            progress.deleted
        )
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
