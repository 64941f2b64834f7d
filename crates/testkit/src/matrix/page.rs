//! The matrix as a page of Markdown.

use std::fmt::Write as _;

use super::faults::Faults;
use super::report::{MatrixReport, Outcome};

const HEAD: &str = "# Trial matrix

Every sync against every misbehaviour that APIs are known for. Written by `highwater templates trial --all --markdown`; CI runs
the matrix and compares this page with what it found.

In each cell the fault meets an incremental run, a full refresh and a first run, in turn at the first, the middle and the last
request where it does not last; sound runs follow. Waits pass in virtual time. What must hold:

1. **Nothing live is deleted**: no record that lives at the API is deleted in the store, though the trial approves every delete
   (where nobody could notice the fault, and where records are set aside, the guard of deletes is left on and has to hold).
2. **No success with records missing**: a run that says it is whole has every record, in its current state.
3. **Nothing is lost after the fault**: the runs after it bring what is missing, and a full refresh exactly what the API has.
4. **Requests and waits are bounded**, and no request comes before the time that the API named.
5. **No secret to another origin**, plain or encoded, in URL, headers or body.
6. **The message names the cause**: a fault of the API as one of the API, with words that belong to it, without a secret.
7. **What can be borne is borne**: a fault that a client can deal with ends no run.

To try a template of your own, see [write-a-template.md](write-a-template.md).
";

impl MatrixReport {
    /// A page of Markdown: the faults with their sources, a table of all cells, and the reason of each cell that does not
    /// apply.
    pub fn markdown(&self) -> String {
        let mut page = HEAD.to_owned();
        let (ran, skipped) = self.counts();
        let _ = writeln!(page, "\n`{}`: {ran} cells tried, {skipped} not applicable.\n", self.summary());
        page.push_str("## Cells\n\n`+` held, `.` not applicable, `!` violated. The syncs:\n\n");
        let syncs = self.syncs();
        for (place, sync) in syncs.iter().enumerate() {
            let _ = writeln!(page, "{}. `{sync}`", place + 1);
        }
        let numbers: Vec<String> = (1..=syncs.len()).map(|number| number.to_string()).collect();
        let _ = writeln!(page, "\n| fault | {} |\n|---{}|", numbers.join(" | "), "|---".repeat(syncs.len()));
        for fault in self.faults() {
            let marks = syncs.iter().map(|sync| self.mark(sync, fault));
            let _ = writeln!(page, "| {fault} | {} |", marks.collect::<Vec<_>>().join(" | "));
        }
        page.push_str("\n## Faults\n\n| fault | what the API does | not applicable |\n|---|---|---|\n");
        let known = Faults::all();
        for name in self.faults() {
            let Some(fault) = known.iter().find(|fault| fault.name() == name) else { continue };
            let about = format!("{} ([source]({}))", fault.about(), fault.source_url());
            let _ = writeln!(page, "| {name} | {about} | {} |", self.skipped(name).unwrap_or_default());
        }
        page
    }

    fn mark(&self, sync: &str, fault: &str) -> &'static str {
        let cell = self.cells.iter().find(|cell| cell.sync == sync && cell.fault == fault);
        match cell.map(|cell| &cell.outcome) {
            Some(Outcome::Held) => "+",
            Some(Outcome::Violated { .. }) => "!",
            _ => ".",
        }
    }

    /// Why a fault does not apply to some syncs.
    fn skipped(&self, fault: &str) -> Option<String> {
        let mut reasons = self.cells.iter().filter(|cell| cell.fault == fault).filter_map(|cell| match &cell.outcome {
            Outcome::NotApplicable { reason } => Some(reason.as_str()),
            _ => None,
        });
        let reason = reasons.next()?;
        Some(format!("{}: {reason}", reasons.count() + 1))
    }
}
