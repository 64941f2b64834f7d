//! Time, memory and bytes of this process, all its threads included.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Named figures of one run.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Measures a phase: processor time of the whole process, wall time of the timed pieces alone.
///
/// Making the records is not part of a phase: it runs on the calling thread within [`Meter::aside`].
pub(crate) struct Meter {
    cpu: Duration,
    aside: Duration,
    pieces: Vec<Duration>,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Meter { cpu: process_time(), aside: Duration::ZERO, pieces: Vec::new() }
    }

    /// Work of this thread that does not count.
    pub(crate) fn aside<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let value = work();
        self.aside += thread_time().saturating_sub(before);
        value
    }

    /// Takes out everything that the process did since `before`.
    pub(crate) fn leave_out_since(&mut self, before: Duration) {
        self.aside += process_time().saturating_sub(before);
    }

    /// A timed piece that began at `began`.
    pub(crate) fn piece(&mut self, began: Instant) {
        self.pieces.push(began.elapsed());
    }

    /// Notes processor and wall time per unit under `name`.
    pub(crate) fn finish(mut self, figures: &mut Figures, name: &str, units: u64) {
        let cpu = process_time().saturating_sub(self.cpu).saturating_sub(self.aside);
        let wall: Duration = self.pieces.iter().sum();
        figures.insert(format!("{name}_cpu_us"), micros(cpu) / units.max(1) as f64);
        figures.insert(format!("{name}_wall_us"), micros(wall) / units.max(1) as f64);
        self.pieces.sort_unstable();
        if let Some(longest) = self.pieces.last() {
            let p99 = self.pieces[(self.pieces.len() - 1) * 99 / 100];
            figures.insert(format!("{name}_batch_max_ms"), micros(*longest) / 1000.0);
            figures.insert(format!("{name}_batch_p99_ms"), micros(p99) / 1000.0);
        }
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    if values.is_empty() { 0.0 } else { values[values.len() / 2] }
}

pub(crate) fn process_time() -> Duration {
    time_of(ClockId::ProcessCPUTime)
}

/// Processor time of the calling thread alone.
pub(crate) fn thread_time() -> Duration {
    time_of(ClockId::ThreadCPUTime)
}

fn time_of(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resets the peak of resident memory (Linux; elsewhere does nothing).
pub(crate) fn reset_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak resident memory in MB since the last reset, if the system reports it.
pub(crate) fn peak_memory_mb() -> Option<f64> {
    let kib = proc_number("/proc/self/status", "VmHWM:")?;
    Some(kib * 1024.0 / 1e6)
}

/// Bytes this process passed to the system for writing, if the system reports it.
pub(crate) fn written_bytes() -> Option<f64> {
    proc_number("/proc/self/io", "wchar:")
}

fn proc_number(file: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Size of a file, or of everything in a directory.
pub(crate) fn size_of(path: &std::path::Path) -> u64 {
    let Ok(metadata) = std::fs::metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    std::fs::read_dir(path).map_or(0, |entries| entries.flatten().map(|entry| size_of(&entry.path())).sum())
}
