//! What has to hold after each run, and at the end.

use highwater_core::{ErrorKind, Result};
use highwater_engine::RunReport;

use super::faults::{Duty, Fault};
use super::report::{Invariant, Violation};
use super::subject::Live;
use super::trial::{Bench, Records, Watch};
use super::watch::holds_secret;

/// Collects the broken invariants of one cell.
pub(super) struct Judge<'f> {
    fault: &'f Fault,
    pub(super) violations: Vec<Violation>,
    /// Whether a run reported that it set records aside or did not see all of them, so that a full refresh may bring them.
    told: bool,
}

impl<'f> Judge<'f> {
    pub(super) fn new(fault: &'f Fault) -> Self {
        Judge { fault, violations: Vec::new(), told: false }
    }

    /// Records a broken invariant once, however many runs break it.
    pub(super) fn broken(&mut self, invariant: Invariant, run: &str, what: impl Into<String>) {
        if !self.violations.iter().any(|violation| violation.invariant == invariant) {
            let what = format!("{run}: {}", what.into());
            self.violations.push(Violation { invariant, what });
        }
    }

    /// Returns whether a full refresh may be needed: the fault could not be noticed, or a run reported what it left out.
    pub(super) fn leaves_to_refresh(&self) -> bool {
        self.fault.duty == Duty::Guard || self.told
    }

    /// Checks the outcome of a run after the fault.
    pub(super) fn after(&mut self, run: &str, watch: &Watch) {
        let Err(error) = &watch.outcome else { return };
        // A refresh that set records aside continues where it stopped, and still needs approval to delete.
        if error.kind() != ErrorKind::AwaitingApproval || self.fault.approves_deletes() {
            self.broken(Invariant::NothingLost, run, format!("fails: {error}"));
        }
    }

    /// Checks a run with the fault, which is in `bench`. `sound` is how many requests the run takes without it.
    pub(super) async fn run(
        &mut self,
        run: &str,
        bench: &Bench,
        watch: &Watch,
        before: &Records,
        sound: u32,
    ) -> Result<()> {
        let (after, live) = (bench.stored().await?, bench.live());
        let deleted: Vec<&str> = before
            .keys()
            .filter(|key| live.contains_key(*key) && !after.contains_key(*key))
            .map(|(_, id)| id.as_str())
            .collect();
        if !deleted.is_empty() {
            self.broken(Invariant::NothingLiveDeleted, run, format!("deleted {}", deleted.join(", ")));
        }
        match &watch.outcome {
            Ok(report) => {
                self.told |= tells_incomplete(report);
                self.success(run, report, &missing(&after, &live));
            }
            Err(error) => self.failure(run, error, bench),
        }
        self.bounds(run, bench, watch, sound);
        let leaks = bench.leaks();
        if let Some(leak) = leaks.first() {
            self.broken(Invariant::NoLeak, run, format!("a secret went out with {leak}"));
        }
        Ok(())
    }

    fn success(&mut self, run: &str, report: &RunReport, missing: &[String]) {
        // An interrupted list continues after what it had read. What changed before that position belongs to the next run.
        let goes_on = report.resumed > 0;
        if !missing.is_empty() && !goes_on && self.fault.duty != Duty::Guard && !tells_incomplete(report) {
            let what = format!("success without {}", missing.join(", "));
            self.broken(Invariant::NoFalseSuccess, run, what);
        }
    }

    fn failure(&mut self, run: &str, error: &highwater_core::Error, bench: &Bench) {
        let text = format!("{error} {error:?}");
        let shown = || format!("{:?}: {error}", error.kind());
        if holds_secret(&text) {
            self.broken(Invariant::CauseNamed, run, "the message contains a secret");
        }
        // The guard may always hold back the deletes of a run that set records aside.
        if error.kind() == ErrorKind::AwaitingApproval && !self.fault.approves_deletes() {
            self.told = true;
            return;
        }
        match self.fault.duty {
            Duty::Bear if bench.effects().method_lost => {}
            Duty::Bear | Duty::SetAside => return self.broken(Invariant::Borne, run, format!("fails: {}", shown())),
            Duty::Name | Duty::Guard => {}
        }
        let named = self.fault.words.is_empty() || {
            let text = error.to_string().to_lowercase();
            self.fault.words.iter().any(|word| text.contains(word))
        };
        if !self.fault.kinds.contains(&error.kind()) || !named {
            self.broken(Invariant::CauseNamed, run, shown());
        }
    }

    fn bounds(&mut self, run: &str, bench: &Bench, watch: &Watch, sound: u32) {
        let most = 3 * sound + 40;
        if watch.requests > most {
            let what = format!("{} requests where a sound run takes {sound}", watch.requests);
            self.broken(Invariant::Bounded, run, what);
        }
        if watch.time.as_secs() > self.fault.longest_s {
            self.broken(Invariant::Bounded, run, format!("takes {} s", watch.time.as_secs()));
        }
        if let Some((waited, asked)) = bench.effects().hurried {
            self.broken(
                Invariant::Bounded,
                run,
                format!("asks again after {waited} s where the API asks for {asked} s"),
            );
        }
    }
}

/// Returns whether a report says that records were set aside, or that a model was not read completely.
pub(super) fn tells_incomplete(report: &RunReport) -> bool {
    !report.set_aside.is_empty() || !report.incomplete.is_empty()
}

/// Returns the live records that are not stored, or stored with other content.
pub(super) fn missing(stored: &Records, live: &Live) -> Vec<String> {
    let lacks = |key: &(String, String), text: &String| stored.get(key).is_none_or(|payload| !payload.contains(text));
    live.iter().filter(|(key, text)| lacks(key, text)).map(|((_, id), _)| id.clone()).collect()
}

/// Returns the stored records that are not live at the API.
pub(super) fn surplus(stored: &Records, live: &Live) -> Vec<String> {
    stored.keys().filter(|key| !live.contains_key(*key)).map(|(_, id)| id.clone()).collect()
}
