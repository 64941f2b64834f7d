//! Clock jumps: P3 and P31.

use highwater_core::{ErrorKind, Maintenance, MaintenanceReport, Timestamp, WriteBatch, WriteOutcome};

use crate::environment::MOMENT_MS;
use crate::rig::{Rig, note, notes, wait};
use crate::subject::Subject;

/// Time that passed without changes, or while the store was closed, does not count as a clock jump; nor does setting a clock
/// that was never set before.
pub fn p03_time_away_is_no_leap<S: Subject>() {
    const DAY: i64 = 24 * 3600 * 1000;
    let mut rig = Rig::<S>::new();
    rig.save("a", 1);
    for day in 1..=400_u64 {
        rig.environment.step_ms(DAY);
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note("a", 1));
        batch.put_document("checkpoint", &day).unwrap();
        rig.commit(batch).unwrap();
    }
    assert_eq!(rig.save("b", 1), WriteOutcome::Added, "400 days without a change, none without a sync");
    if S::REOPENS {
        rig.environment.step_ms(800 * DAY);
        rig.reopen();
        assert_eq!(rig.save("c", 1), WriteOutcome::Added, "more than two years in a drawer");
    }
    let last = rig.end();
    rig.verify(&notes());

    let dead = Rig::<S>::new();
    dead.environment.set_ms(86_000);
    dead.save("a", 1);
    let before = dead.end();
    dead.environment.set_ms(MOMENT_MS);
    assert_eq!(dead.save("b", 1), WriteOutcome::Added, "the clock was dead, and was set");
    assert!(dead.end().position() > before.position() && dead.end().time() == Timestamp::from_unix_ms(MOMENT_MS));
    assert_eq!(dead.refusal(before), None);
    assert!(last.time() > Timestamp::from_unix_ms(MOMENT_MS));
}

/// While a clock is more than a year ahead, after a jump with the store open, nothing is minted, until it is correct again,
/// or the host or another clock confirms it. No cursor expires because of that.
pub fn p03_a_leap_is_refused_until_it_is_accepted<S: Subject>() {
    const YEAR: i64 = 365 * 24 * 3600 * 1000;
    let mut rig = Rig::<S>::new();
    rig.save("a", 1);
    let early = rig.end();
    let refused = |rig: &Rig<S>, id: &str| {
        let error = rig.try_write(|batch| batch.upsert(note(id, 0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClockImplausible);
        assert!(
            matches!(rig.maintain(Maintenance::CheckClock), MaintenanceReport::Clock(health) if health.implausible)
        );
    };
    rig.environment.step_ms(2 * YEAR);
    for day in 0..3 {
        // Writes that mint nothing are kept, and do not prove that the clock is right.
        let mut batch = WriteBatch::new();
        batch.put_document("run", &day).unwrap();
        rig.commit(batch).unwrap();
        refused(&rig, "never");
    }
    rig.environment.step_ms(-2 * YEAR + 1000);
    assert_eq!(rig.save("b", 1), WriteOutcome::Added, "it is right again");

    rig.environment.step_ms(2 * YEAR);
    refused(&rig, "never");
    let says = |rig: &Rig<S>, time, id: &str| {
        let mut batch = WriteBatch::new();
        batch.on(&notes()).upsert(note(id, 0));
        rig.commit(batch.clock_witness(time).clone())
    };
    let now = MOMENT_MS + 2 * YEAR as u64;
    let error = says(&rig, Timestamp::from_unix_ms(MOMENT_MS), "never").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClockImplausible, "another clock says that it leapt");
    if S::REOPENS {
        rig.reopen();
        let error = says(&rig, Timestamp::from_unix_ms(MOMENT_MS), "never").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClockImplausible, "and nobody was away");
        rig.environment.step_ms(-2 * YEAR);
        rig.reopen();
        rig.environment.step_ms(2 * YEAR);
        refused(&rig, "never");
    }
    says(&rig, Timestamp::from_unix_ms(now), "c").expect("another clock shows the same");

    rig.environment.step_ms(2 * YEAR);
    refused(&rig, "never");
    rig.maintain(Maintenance::AcceptClock);
    assert_eq!(rig.save("d", 1), WriteOutcome::Added, "the host says that it is right");
    says(&rig, Timestamp::from_unix_ms(MOMENT_MS), "e").expect("the host knows better than another clock");
    if S::REOPENS {
        rig.reopen();
        says(&rig, Timestamp::from_unix_ms(MOMENT_MS), "f").expect("for good");
    }
    assert_eq!(rig.refusal(early), None, "no cursor expires of it");
    assert!(rig.page(|request| request.since(early)).changes.len() >= 4);

    rig.environment.set_ms(u64::MAX);
    let refused = wait(rig.store().maintain(Maintenance::AcceptClock)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ClockImplausible, "no clock can be right that shows 2065");
    rig.verify(&notes());
}
