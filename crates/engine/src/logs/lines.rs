//! Pending log lines: limited in number and length.

use highwater_core::{Result, RunId, Timestamp, WriteBatch};
use highwater_template::LogLevel;

use crate::documents::LogLine;
use crate::log_policy::LogPolicy;
use crate::logs;

/// The longest stored line, in bytes.
const LONGEST: usize = 8 * 1024;

/// Lines for the next commit.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    waiting: Vec<LogLine>,
    attempt: u32,
    chunks: u32,
    kept: u64,
    full: bool,
}

impl Lines {
    /// The lines of a run's attempt with this number.
    pub(crate) fn of_attempt(attempt: u32) -> Self {
        Lines { attempt, ..Lines::default() }
    }

    /// Adds a line, already redacted, if the policy keeps it.
    pub(crate) fn push(&mut self, policy: &LogPolicy, at: Timestamp, level: LogLevel, message: &str) {
        if level < policy.level {
            return;
        }
        if self.kept < policy.lines_per_run || level == LogLevel::Error {
            self.kept += 1;
            self.waiting.push(LogLine::new(at, level, shortened(message)));
        } else if !self.full {
            self.full = true;
            let note = "the run writes more lines than are kept: only errors from here on".to_owned();
            self.waiting.push(LogLine::new(at, LogLevel::Warning, note));
        }
    }

    /// Moves the pending lines into a batch; if the batch fails, [`put_back`](Lines::put_back) restores them.
    pub(crate) fn take(&mut self, run: RunId, batch: &mut WriteBatch) -> Result<Vec<LogLine>> {
        let taken = std::mem::take(&mut self.waiting);
        if !taken.is_empty() {
            logs::put_lines(batch, run, self.attempt, self.chunks, &taken)?;
            self.chunks += 1;
        }
        Ok(taken)
    }

    /// Restores lines whose batch failed, before those added since.
    pub(crate) fn put_back(&mut self, taken: Vec<LogLine>) {
        let later = std::mem::replace(&mut self.waiting, taken);
        self.waiting.extend(later);
    }
}

fn shortened(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{} ... ({} bytes)", message.get(..end).unwrap_or_default(), message.len())
}
