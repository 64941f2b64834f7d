//! What is kept of runs.

use highwater_template::LogLevel;

/// What is kept of runs, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogPolicy {
    /// Lines below this level are not kept.
    pub level: LogLevel,
    /// Lines kept of one run; later ones of lesser importance are left out.
    pub lines_per_run: u64,
    /// Runs kept of one sync.
    pub runs_per_sync: usize,
    /// Runs older than this go.
    pub max_age: std::time::Duration,
    /// Whether actions and requests by proxy are kept too, each in a commit of its own.
    pub calls: bool,
}

impl Default for LogPolicy {
    /// Infos and above, 5,000 lines of a run, 50 runs of a sync (as many webhooks, calls of an action, requests), 30 days.
    fn default() -> Self {
        LogPolicy {
            level: LogLevel::Info,
            lines_per_run: 5000,
            runs_per_sync: 50,
            max_age: std::time::Duration::from_secs(30 * 24 * 3600),
            calls: true,
        }
    }
}

impl LogPolicy {
    /// Keeps lines of this level and above.
    #[must_use]
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = level;
        self
    }

    /// Keeps so many lines of a run.
    #[must_use]
    pub fn lines_per_run(mut self, lines: u64) -> Self {
        self.lines_per_run = lines;
        self
    }

    /// Keeps so many runs of a sync.
    #[must_use]
    pub fn runs_per_sync(mut self, runs: usize) -> Self {
        self.runs_per_sync = runs.max(1);
        self
    }

    /// Keeps actions and requests by proxy, or does not.
    #[must_use]
    pub fn calls(mut self, keep: bool) -> Self {
        self.calls = keep;
        self
    }

    /// Keeps runs for so long.
    #[must_use]
    pub fn max_age(mut self, age: std::time::Duration) -> Self {
        self.max_age = age;
        self
    }
}
