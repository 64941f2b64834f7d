//! Figures beside their ceilings and beside what is aimed at.

use serde_json::{Map, Value, json};

use crate::Arguments;
use crate::measure::{Figures, median};
use crate::sync::PHASES;

/// Processor seconds that a sync of 100,000 records in pages of 1000 may take, and its memory.
const TARGET_SECONDS: f64 = 1.5;
const TARGET_MEMORY_MB: f64 = 80.0;

pub(crate) fn print(arguments: &Arguments, runs: &[Figures]) {
    let count = arguments.records as f64;
    let over = |figures: &Figures, name: &str| of(figures, &format!("{name}_cpu_s")) / ceiling(figures, count);
    let (cpu, memory) = (middle(runs, |run| of(run, "first_cpu_s")), middle(runs, |run| of(run, "first_rss_mb")));
    let target = TARGET_SECONDS * count / 100_000.0;
    if arguments.json {
        let mut all = Map::new();
        all.insert("records".into(), json!(arguments.records));
        all.insert("page".into(), json!(arguments.page));
        all.insert("runs".into(), json!(runs.len()));
        for name in runs.iter().flat_map(Figures::keys) {
            all.insert(name.clone(), json!(rounded(middle(runs, |run| of(run, name)))));
        }
        all.insert("ceilings_cpu_s".into(), json!(rounded(middle(runs, |run| ceiling(run, count)))));
        for (name, _) in PHASES {
            all.insert(format!("{name}_vs_ceilings"), json!(rounded(middle(runs, |run| over(run, name)))));
        }
        all.insert("target_cpu_s".into(), json!(target));
        all.insert("target_rss_mb".into(), json!(TARGET_MEMORY_MB));
        println!("{}", Value::Object(all));
        return;
    }
    println!(
        "{} records of about 1 KB, pages of {}, HTTP → template → SQLite, median of {}:",
        arguments.records,
        arguments.page,
        runs.len()
    );
    println!("{:24} {:>8} {:>8} {:>9} {:>8} {:>9} {:>8}", "", "wall s", "cpu s", "µs/rec", "RSS MB", "written", "x");
    let pages = [middle(runs, |run| of(run, "pages_wall_s")), middle(runs, |run| of(run, "pages_cpu_s"))];
    let raw = ["raw_load_wall_us", "raw_load_cpu_us"].map(|name| middle(runs, |run| of(run, name)) * count / 1e6);
    for (what, [wall, cpu]) in [("ceiling: pages alone", pages), ("ceiling: raw insert", raw)] {
        println!("{what:24} {wall:8.2} {cpu:8.2} {:9.2}", cpu / count * 1e6);
    }
    for (name, phase) in PHASES {
        let figure = |what: &str| middle(runs, |run| of(run, &format!("{name}_{what}")));
        let (wall, cpu) = (figure("wall_s"), figure("cpu_s"));
        println!(
            "{phase:24} {wall:8.2} {cpu:8.2} {:9.2} {:8.1} {:9} {:8.2}",
            cpu / count * 1e6,
            figure("rss_mb"),
            figure("written"),
            middle(runs, |run| over(run, name))
        );
    }
    let verdict = |met: bool| if met { "ok" } else { "miss" };
    println!(
        "x: processor time over both ceilings\ntarget: first sync <= {target:.2} s CPU ({}), RSS < {TARGET_MEMORY_MB} MB ({})",
        verdict(cpu <= target),
        verdict(memory < TARGET_MEMORY_MB)
    );
}

/// The ceiling: reading the pages and writing the bytes, in processor seconds.
fn ceiling(figures: &Figures, count: f64) -> f64 {
    of(figures, "pages_cpu_s") + of(figures, "raw_load_cpu_us") * count / 1e6
}

/// A figure that the system did not report is shown as missing.
fn of(figures: &Figures, name: &str) -> f64 {
    figures.get(name).copied().unwrap_or(f64::NAN)
}

fn middle(runs: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    median(runs.iter().map(of).collect())
}

fn rounded(figure: f64) -> f64 {
    (figure * 10_000.0).round() / 10_000.0
}
