//! `highwater templates check` and `replay`

use std::path::Path;

use highwater::declarative::Registry;
use highwater::declarative::replay::replay_folders;
use highwater::{Error, ErrorKind, Result};

use crate::catalogue;
use crate::output::{Output, counted};

pub(crate) fn check(file: &Path, output: &Output) -> Result<()> {
    let manifest = catalogue::manifest(file)?;
    let problems = manifest.problems();
    for name in manifest.stream_names() {
        let problem = problems.iter().find(|(stream, _)| *stream == name).map(|(_, problem)| problem.to_string());
        output.object("manifest_stream", &serde_json::json!({ "stream": name, "problem": problem }));
        output.line(format!("{name:32} {}", problem.as_deref().unwrap_or("ok")));
    }
    let total = manifest.stream_names().len();
    output.line(format!("{} of {} can run", total - problems.len(), counted(total, "stream")));
    let findings = manifest.findings();
    for finding in &findings {
        output.object(
            "manifest_finding",
            &serde_json::json!({ "at": finding.at, "finding": finding.message, "fault": finding.is_fault }),
        );
        output.line(finding.to_string());
    }
    // A feature of the language that we lack is not a fault of the manifest.
    let streams = problems.iter().filter(|(_, problem)| problem.kind() == ErrorKind::Invalid).count();
    let others = findings.iter().filter(|finding| finding.is_fault).count();
    match streams + others {
        0 => Ok(()),
        faults => Err(Error::new(
            ErrorKind::Invalid,
            format!("the manifest has {}; the lines above say what to correct", counted(faults, "fault")),
        )),
    }
}

pub(crate) async fn replay(connectors: &Path, cassettes: &Path, output: &Output) -> Result<()> {
    let report = replay_folders(connectors, cassettes, &Registry::new()).await?;
    for stream in &report.streams {
        output.object("replay", stream);
    }
    for stream in report.different() {
        let difference = stream.difference.as_deref().unwrap_or_default();
        output.line(format!("{}/{}: {difference}", stream.connector, stream.stream));
    }
    let (identical, total) = (report.identical(), report.streams.len());
    output.object("replay_total", &serde_json::json!({ "identical": identical, "streams": total }));
    output.line(format!("{identical} of {} identical", counted(total, "stream")));
    Ok(())
}
