//! Figures beside the ceiling and beside what is aimed at.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::args::{Compressed, Subject, Workload};
use crate::latency::{SIZES, flatness};
use crate::measure::{Figures, median};

/// The medians of several measurements.
pub(crate) struct Report {
    subject: Subject,
    workload: Workload,
    runs: usize,
    raw: Figures,
    store: Figures,
    /// Of each measurement to the raw one beside it.
    ratios: Figures,
}

/// A ratio: the figure of the store over that of the ceiling.
const RATIOS: [(&str, &str, &str); 12] = [
    ("load_vs_raw", "load_cpu_us", "load_cpu_us"),
    ("unchanged_vs_raw", "unchanged_cpu_us", "load_cpu_us"),
    ("unchanged_reopened_vs_raw", "unchanged_reopened_cpu_us", "load_cpu_us"),
    ("changed1_vs_raw", "changed1_cpu_us", "load_cpu_us"),
    ("missing1_vs_raw", "missing1_cpu_us", "load_cpu_us"),
    ("drain1000_vs_scan", "drain1000_cpu_us", "scan_cpu_us"),
    ("drain100_vs_scan", "drain100_cpu_us", "scan_cpu_us"),
    ("drain10000_vs_scan", "drain10000_cpu_us", "scan_cpu_us"),
    ("file_vs_payload", "file_bytes", "payload_bytes"),
    ("file_vs_raw", "file_bytes", "file_bytes"),
    ("written_vs_payload", "load_written_bytes", "payload_bytes"),
    ("written_vs_raw", "load_written_bytes", "load_written_bytes"),
];

/// A line of the table: what it says, its figures, and what it should be at most.
struct Line {
    what: &'static str,
    cpu: Option<&'static str>,
    wall: Option<&'static str>,
    /// The figure that is judged.
    judged: &'static str,
    unit: &'static str,
    target: Option<(f64, f64)>,
}

impl Report {
    pub(crate) fn new(subject: Subject, workload: Workload, runs: &[(Figures, Figures)]) -> Self {
        let per_run: Vec<Figures> = runs.iter().map(|(raw, store)| ratios(raw, store)).collect();
        Report {
            subject,
            workload,
            runs: runs.len(),
            raw: medians(runs.iter().map(|(raw, _)| raw)),
            store: medians(runs.iter().map(|(_, store)| store)),
            ratios: medians(per_run.iter()),
        }
    }

    /// Every figure, flat.
    pub(crate) fn json(&self) -> Value {
        let mut all = Map::new();
        all.insert("store".into(), json!(self.subject.name()));
        all.insert("records".into(), json!(self.workload.records));
        all.insert("batch".into(), json!(self.workload.batch));
        all.insert("ids".into(), json!(self.workload.ids.name()));
        all.insert("codec".into(), json!(self.workload.codec.name()));
        all.insert("runs".into(), json!(self.runs));
        for (name, figure) in self.ratios.iter().chain(&self.store) {
            all.insert(name.clone(), json!(rounded(*figure)));
        }
        for (name, figure) in &self.raw {
            all.insert(format!("raw_{name}"), json!(rounded(*figure)));
        }
        let lines = self.lines();
        let judged = lines.iter().filter_map(|line| Some((line.judged, self.figure(line.judged)?, line.target?)));
        let missed: Vec<_> = judged.filter(|(_, figure, (target, _))| figure > target).map(|(name, ..)| name).collect();
        all.insert("targets_missed".into(), json!(missed));
        Value::Object(all)
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.ratios.get(name).or_else(|| self.store.get(name)).copied()
    }

    /// The figures that are shown, with the targets of the store at hand.
    fn lines(&self) -> Vec<Line> {
        let sqlite = self.subject == Subject::Sqlite;
        let file = if self.workload.codec == Compressed::Zstd { (0.35, 0.35) } else { (1.2, 1.06) };
        let timed = |what, cpu, wall, judged, target| Line {
            what,
            cpu: Some(cpu),
            wall: Some(wall),
            judged,
            unit: "x",
            target,
        };
        let plain = |what, judged, unit, target: Option<(f64, f64)>| Line {
            what,
            cpu: None,
            wall: None,
            judged,
            unit,
            target: target.filter(|_| sqlite),
        };
        let of = |sqlite_target, redb_target: Option<(f64, f64)>| match self.subject {
            Subject::Sqlite => Some(sqlite_target),
            Subject::Redb => redb_target,
            _ => None,
        };
        vec![
            timed("initial load", "load_cpu_us", "load_wall_us", "load_vs_raw", of((3.0, 2.0), Some((4.0, 4.0)))),
            timed(
                "re-sync, all unchanged",
                "unchanged_cpu_us",
                "unchanged_wall_us",
                "unchanged_vs_raw",
                of((1.0, 0.5), Some((1.0, 1.0))),
            ),
            timed(
                "  the same, just opened",
                "unchanged_reopened_cpu_us",
                "unchanged_reopened_wall_us",
                "unchanged_reopened_vs_raw",
                of((1.0, 0.5), Some((1.0, 1.0))),
            ),
            timed(
                "re-sync, 1 % changed",
                "changed1_cpu_us",
                "changed1_wall_us",
                "changed1_vs_raw",
                of((1.2, 0.6), None),
            ),
            timed("re-sync, 1 % missing", "missing1_cpu_us", "missing1_wall_us", "missing1_vs_raw", None),
            timed(
                "drain, pages of 1000",
                "drain1000_cpu_us",
                "drain1000_wall_us",
                "drain1000_vs_scan",
                of((1.5, 1.25), None),
            ),
            timed(
                "drain, pages of 100",
                "drain100_cpu_us",
                "drain100_wall_us",
                "drain100_vs_scan",
                of((2.0, 1.5), None),
            ),
            timed("drain, pages of 10,000", "drain10000_cpu_us", "drain10000_wall_us", "drain10000_vs_scan", None),
            Line {
                what: "get by id, one a call",
                cpu: Some("get_cpu_us"),
                wall: Some("get_wall_us"),
                judged: "get_cpu_us",
                unit: "µs",
                target: Some((15.0, 5.0)).filter(|_| sqlite),
            },
            Line {
                what: "get by id, 100 a call",
                cpu: Some("get100_cpu_us"),
                wall: Some("get100_wall_us"),
                judged: "get100_cpu_us",
                unit: "µs",
                target: Some((15.0, 5.0)).filter(|_| sqlite),
            },
            Line {
                what: "empty poll, through the store",
                cpu: Some("empty_poll_us"),
                wall: Some("empty_poll_wall_us"),
                judged: "empty_poll_us",
                unit: "µs",
                target: Some((5.0, 2.0)).filter(|_| sqlite),
            },
            Line {
                what: "empty poll, no commit since",
                cpu: Some("idle_poll_cpu_us"),
                wall: Some("idle_poll_wall_us"),
                judged: "idle_poll_cpu_us",
                unit: "µs",
                target: Some((0.2, 0.05)).filter(|_| sqlite),
            },
            Line {
                what: "status of a reader, all behind",
                cpu: Some("consumer_status_us"),
                wall: Some("consumer_status_wall_us"),
                judged: "consumer_status_us",
                unit: "µs",
                target: Some((1000.0, 300.0)).filter(|_| sqlite),
            },
            plain("page of 100 at a cold cursor", "page_latency_us", "µs", None),
            plain("  slowest size over fastest", "page_flatness", "x", Some((1.3, 1.3))),
            plain("  the same, each over a raw page", "page_flatness_vs_raw", "x", None),
            plain("run end, nothing missing", "run_end_unchanged_ms", "ms", Some((50.0, 5.0))),
            plain("run end, 1 % missing", "run_end_missing1_ms", "ms", Some((1000.0, 300.0))),
            plain("longest batch of the load", "load_batch_max_ms", "ms", Some((300.0, 300.0))),
            plain("  p99", "load_batch_p99_ms", "ms", Some((60.0, 60.0)).filter(|_| false)),
            plain("file over payload", "file_vs_payload", "x", None),
            plain("file over the raw file", "file_vs_raw", "x", Some(file)),
            plain("bytes written over raw", "written_vs_raw", "x", Some((2.0, 1.25))),
            plain("peak memory of the load", "rss_mb", "MB", Some((150.0, 110.0))),
            plain("opening", "open_ms", "ms", None),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} records, {} ids, batches of {}, median of {}\n",
            self.subject.name(),
            self.workload.records,
            self.workload.ids.name(),
            self.workload.batch,
            self.runs
        )?;
        writeln!(f, "{:<31} {:>9} {:>9} {:>12} {:>9} {:>9}", "", "CPU µs", "wall µs", "figure", "target", "stretch")?;
        for (what, name) in [("ceiling: raw insert", "load"), ("ceiling: raw scan", "scan")] {
            let (cpu, wall) = (self.raw.get(&format!("{name}_cpu_us")), self.raw.get(&format!("{name}_wall_us")));
            writeln!(f, "{what:<31} {:>9} {:>9}", shown(cpu.copied()), shown(wall.copied()))?;
        }
        let page = |name| shown(self.raw.get(name).copied());
        writeln!(f, "{:<31} {:>9}", "ceiling: raw page of 100", page("page_latency_us"))?;
        writeln!(f, "{:<31} {:>29} x", "  slowest size over fastest", page("page_flatness"))?;
        for line in self.lines() {
            let Some(figure) = self.figure(line.judged) else { continue };
            let cpu = line.cpu.and_then(|name| self.store.get(name)).copied();
            let wall = line.wall.and_then(|name| self.store.get(name)).copied();
            write!(
                f,
                "{:<31} {:>9} {:>9} {:>9} {:<2}",
                line.what,
                shown(cpu),
                shown(wall),
                shown(Some(figure)),
                line.unit
            )?;
            if let Some((target, stretch)) = line.target {
                let verdict = if figure <= stretch {
                    "stretch"
                } else if figure <= target {
                    "ok"
                } else {
                    "MISS"
                };
                write!(f, " {target:>9} {stretch:>9} {verdict}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn ratios(raw: &Figures, store: &Figures) -> Figures {
    let all = RATIOS.iter().filter_map(|(name, of, to)| {
        // Bytes of the payload are the same on both sides.
        Some(((*name).to_owned(), store.get(*of)? / raw.get(*to)?))
    });
    // What the processor's caches make of a log's size, they make of the bare table's, too.
    let sizes = SIZES.iter().map(|size| format!("page_latency_at_{size}_us"));
    let pages = sizes.filter_map(|name| Some(store.get(&name)? / raw.get(&name)?));
    all.chain([("page_flatness_vs_raw".to_owned(), flatness(pages))]).filter(|(_, ratio)| ratio.is_finite()).collect()
}

fn medians<'f>(runs: impl Iterator<Item = &'f Figures> + Clone) -> Figures {
    let names: std::collections::BTreeSet<&String> = runs.clone().flat_map(Figures::keys).collect();
    let of = |name: &String| median(runs.clone().filter_map(|figures| figures.get(name).copied()).collect());
    names.into_iter().map(|name| (name.clone(), of(name))).collect()
}

fn rounded(figure: f64) -> f64 {
    (figure * 10_000.0).round() / 10_000.0
}

fn shown(figure: Option<f64>) -> String {
    match figure {
        None => String::new(),
        Some(figure) if figure >= 100.0 => format!("{figure:.0}"),
        Some(figure) => format!("{figure:.2}"),
    }
}
