//! Changes per hour, as bars, with a table behind them.

use std::time::Duration;

use highwater_core::{Result, Timestamp};
use highwater_engine::Engine;
use highwater_engine::logs::LogFilter;
use maud::{Markup, html};

use super::words::number;

/// Hours that the plot shows.
const HOURS: usize = 48;
const HOUR: u64 = 3_600_000;
/// The most runs that are added up.
const MOST_RUNS: usize = 1000;

/// The height of the bars, and the width of one with its gap, in the units of the drawing.
const HEIGHT: u64 = 80;
const STEP: u64 = 12;

#[derive(Clone, Copy, Default)]
struct Hour {
    added: u64,
    updated: u64,
    deleted: u64,
}

impl Hour {
    fn total(self) -> u64 {
        self.added + self.updated + self.deleted
    }
}

/// The changes that runs saved in the last 48 hours.
pub(super) struct Plot {
    hours: [Hour; HOURS],
    first: u64,
}

impl Plot {
    pub(super) async fn read(engine: &Engine, now: Timestamp) -> Result<Self> {
        let first = (now.unix_ms() / HOUR + 1).saturating_sub(HOURS as u64);
        let mut plot = Plot { hours: [Hour::default(); HOURS], first };
        let mut filter = LogFilter::default().limit(MOST_RUNS);
        // Runs that began earlier may have ended within.
        filter.since = Some(Timestamp::from_unix_ms(first * HOUR) - Duration::from_millis(24 * HOUR));
        for run in engine.runs_matching(&filter).await?.runs {
            let at = run.ended_at.unwrap_or(now).unix_ms() / HOUR;
            let place = at.checked_sub(first).and_then(|place| usize::try_from(place).ok());
            if let Some(hour) = place.and_then(|place| plot.hours.get_mut(place)) {
                let counts = run.progress.counts;
                hour.added += counts.added;
                hour.updated += counts.updated;
                hour.deleted += counts.deleted;
            }
        }
        Ok(plot)
    }

    pub(super) fn total(&self) -> u64 {
        self.hours.iter().map(|hour| hour.total()).sum()
    }

    /// Draws it. The drawing says in one sentence what it shows; the table says all of it.
    pub(super) fn draw(&self) -> Markup {
        let most = self.hours.iter().map(|hour| hour.total()).max().unwrap_or(0).max(1);
        let width = HOURS as u64 * STEP;
        // A few records among many are still to be seen.
        let tall = |count: u64| if count == 0 { 0 } else { (count * HEIGHT / most).max(2) };
        let name = |place: usize| {
            let hour = Timestamp::from_unix_ms((self.first + place as u64) * HOUR).to_string();
            hour.get(..16).unwrap_or_default().replace('T', " ")
        };
        html! {
            figure.plot {
                svg viewBox={ "0 0 " (width) " " (HEIGHT + 2) } preserveAspectRatio="none" role="img"
                    aria-label={ "Changes per hour: " (number(self.total())) " in 48 hours, at most " (number(most)) " in one" } {
                    line.axis x1="0" x2=(width) y1=(HEIGHT + 1) y2=(HEIGHT + 1) {}
                    @for (place, hour) in self.hours.iter().enumerate() {
                        @let left = place as u64 * STEP + 1;
                        @let (added, updated, deleted) = (tall(hour.added), tall(hour.updated), tall(hour.deleted));
                        g {
                            title { (name(place)) " UTC: " (number(hour.added)) " added, " (number(hour.updated)) " updated, " (number(hour.deleted)) " deleted" }
                            rect.added x=(left) width=(STEP - 2) y=(HEIGHT.saturating_sub(added)) height=(added) {}
                            rect.updated x=(left) width=(STEP - 2) y=(HEIGHT.saturating_sub(added + updated)) height=(updated) {}
                            rect.deleted x=(left) width=(STEP - 2) y=(HEIGHT.saturating_sub(added + updated + deleted)) height=(deleted) {}
                        }
                    }
                }
                figcaption {
                    span { "48 hours ago" }
                    span.legend { span.key.added {} "added" span.key.updated {} "updated" span.key.deleted {} "deleted" }
                    span { "now" }
                }
                details {
                    summary { "The same as a table" }
                    table {
                        thead { tr { th { "Hour (UTC)" } th.number { "Added" } th.number { "Updated" } th.number { "Deleted" } } }
                        tbody {
                            @for (place, hour) in self.hours.iter().enumerate().filter(|(_, hour)| hour.total() > 0) {
                                tr { td { (name(place)) } td.number { (number(hour.added)) } td.number { (number(hour.updated)) } td.number { (number(hour.deleted)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
