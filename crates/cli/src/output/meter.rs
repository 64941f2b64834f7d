//! A run's progress on the screen.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use highwater::printable;
use highwater::template::host::Progress;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Output, counted};

/// Shows a run's progress: a bar on a terminal, one line per second elsewhere.
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
            bar.set_prefix(printable(title).to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Meter { bar, begun: Instant::now(), told: Instant::now(), quiet: output.json }
    }

    pub(crate) fn update(&mut self, output: &Output, progress: &Progress, message: Option<&str>) {
        let text = self.text(progress);
        match &self.bar {
            Some(bar) => bar.set_message(match message {
                Some(message) => format!("{text} · {}", printable(message)),
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
        let fetched = match progress.total {
            Some(total) => format!("{} of {}", progress.fetched, counted(total, "record")),
            None => counted(progress.fetched, "record"),
        };
        let aside = if progress.counts.set_aside > 0 {
            format!(", {} set aside", progress.counts.set_aside)
        } else {
            String::new()
        };
        format!(
            "{fetched} ({:.0}/s): {} added, {} updated, {} unchanged, {} deleted{aside}",
            progress.fetched as f64 / seconds,
            progress.counts.added,
            progress.counts.updated,
            progress.counts.unchanged,
            progress.counts.deleted
        )
    }

    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
