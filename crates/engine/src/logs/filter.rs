//! Filters for runs and log lines.

use crate::documents::{LogLine, RunMode, RunReport, RunState};
use highwater_core::Timestamp;
use highwater_template::LogLevel;

/// Selects runs or log lines. All conditions must match.
///
/// ```
/// use highwater_engine::logs::LogFilter;
/// use highwater_engine::runs::RunState;
/// let failed = LogFilter::default().connection("github-main").state(RunState::Error).limit(10);
/// assert_eq!(failed.limit, Some(10));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFilter {
    /// Runs in one of these states; empty: any.
    pub states: Vec<RunState>,
    /// Runs of this type.
    pub mode: Option<RunMode>,
    /// Runs of this provider.
    pub provider: Option<String>,
    /// Of this connection.
    pub connection: Option<String>,
    /// Runs of this template (with a variant behind `::`).
    pub sync: Option<String>,
    /// Begun (lines: written) at or after this time.
    pub since: Option<Timestamp>,
    /// Begun (lines: written) before this time.
    pub until: Option<Timestamp>,
    /// Lines at or above this level.
    pub level: Option<LogLevel>,
    /// A text to find, ignoring case: in the error of a run, or in a line.
    pub text: Option<String>,
    /// The position to continue from: the last page's `next`.
    pub after: Option<String>,
    /// At most this many. Defaults to 25 runs or 100 lines.
    pub limit: Option<usize>,
}

impl LogFilter {
    /// Of this connection.
    #[must_use]
    pub fn connection(mut self, connection: impl Into<String>) -> Self {
        self.connection = Some(connection.into());
        self
    }

    /// Of this template.
    #[must_use]
    pub fn sync(mut self, sync: impl Into<String>) -> Self {
        self.sync = Some(sync.into());
        self
    }

    /// Adds a state.
    #[must_use]
    pub fn state(mut self, state: RunState) -> Self {
        self.states.push(state);
        self
    }

    /// Sets the text to find.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets the most runs or lines of a page.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Sets the position to continue from: the last page's `next`.
    #[must_use]
    pub fn after(mut self, next: Option<String>) -> Self {
        self.after = next;
        self
    }

    pub(super) fn takes(&self, report: &RunReport) -> bool {
        let sync = report.key().map(|key| key.sync_name()).unwrap_or_default();
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let provider = report.template.split('/').next().unwrap_or_default();
        (self.states.is_empty() || self.states.contains(&report.state))
            && self.mode.is_none_or(|mode| mode == report.mode)
            && is(&self.provider, provider)
            && is(&self.connection, &report.connection)
            && is(&self.sync, &sync)
    }

    pub(super) fn has_text(&self, text: &str) -> bool {
        self.text.as_ref().is_none_or(|wanted| text.to_lowercase().contains(&wanted.to_lowercase()))
    }

    pub(super) fn takes_line(&self, line: &LogLine) -> bool {
        self.level.is_none_or(|level| line.level >= level)
            && self.since.is_none_or(|since| line.at >= since)
            && self.until.is_none_or(|until| line.at < until)
            && self.has_text(&line.message)
    }
}
