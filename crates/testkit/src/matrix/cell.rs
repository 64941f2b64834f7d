//! The course of a cell: what happens in which order.

use highwater_core::Result;

use super::faults::{Duty, Fault, Reach, Switch};
use super::hostile::Place;
use super::invariants::{Judge, missing, surplus, tells_incomplete};
use super::report::{Invariant, Outcome, Violation};
use super::subject::Subject;
use super::trial::{Bench, Watch};

/// How many requests the runs take without a fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound {
    first: u32,
    incremental: u32,
    full: u32,
}

/// What a subject does without a fault: how many requests it sends, or what is wrong with it.
pub(super) type Known = std::result::Result<Sound, String>;

/// Runs what every cell runs, without a fault, because the subject itself has to be correct.
pub(super) async fn sound(subject: &Subject, fault: &Fault) -> Result<Known> {
    let bench = Bench::new(subject, fault).await?;
    let first = bench.run(false, None).await;
    let lacks = missing(&bench.stored().await?, &bench.live());
    bench.change(1);
    let incremental = bench.run(false, None).await;
    let lacks_later = missing(&bench.stored().await?, &bench.live());
    bench.change(2);
    let full = bench.run(true, None).await;
    let (stored, live) = (bench.stored().await?, bench.live());
    for (run, watch) in [("first", &first), ("incremental", &incremental), ("full", &full)] {
        if let Err(error) = &watch.outcome {
            return Ok(Err(format!("the {run} run fails without a fault: {error}")));
        }
    }
    let wrong = [
        ("the first run lacks", lacks),
        ("the incremental run lacks", lacks_later),
        ("the full refresh lacks", missing(&stored, &live)),
        ("the full refresh keeps", surplus(&stored, &live)),
    ];
    if let Some((what, ids)) = wrong.iter().find(|(_, ids)| !ids.is_empty()) {
        return Ok(Err(format!("without a fault {what} {}", ids.join(", "))));
    }
    Ok(Ok(Sound { first: first.requests, incremental: incremental.requests, full: full.requests }))
}

/// Tries one sync with one fault.
pub(super) async fn cell(subject: &Subject, fault: &Fault, sound: Sound) -> Outcome {
    let places: &[Place] = match fault.reach {
        Reach::Every => &[Place::First],
        Reach::Some(_) => &[Place::First, Place::Middle, Place::Last],
    };
    let mut judge = Judge::new(fault);
    let mut hits = 0;
    for place in places {
        for story in [
            at_changes(subject, fault, *place, sound, &mut judge).await,
            at_refresh(subject, fault, *place, sound, &mut judge).await,
            at_first(subject, fault, *place, sound, &mut judge).await,
        ] {
            match story {
                Ok(times) => hits += times,
                Err(error) => {
                    let what = format!("the trial itself failed: {error}");
                    return Outcome::Violated {
                        violations: vec![Violation { invariant: Invariant::NothingLost, what }],
                    };
                }
            }
        }
    }
    if !judge.violations.is_empty() {
        return Outcome::Violated { violations: judge.violations };
    }
    if hits == 0 {
        return Outcome::NotApplicable { reason: fault.reason().to_owned() };
    }
    Outcome::Held
}

/// Puts the fault into an incremental run. Incremental runs have to find what it lost, so no full refresh follows at once.
async fn at_changes(
    subject: &Subject,
    fault: &Fault,
    place: Place,
    sound: Sound,
    judge: &mut Judge<'_>,
) -> Result<u32> {
    let bench = Bench::new(subject, fault).await?;
    bench.run(false, None).await.outcome?;
    if matches!(fault.switch, Switch::Wire(_)) {
        // Nothing changed, so an API with validators says 304.
        meets("idle run", &bench, false, place, sound.incremental, judge).await?;
    }
    bench.change(1);
    meets("incremental run", &bench, false, place, sound.incremental, judge).await?;
    converges(&bench, judge).await?;
    Ok(bench.effects().hits)
}

/// Puts the fault into a full refresh.
async fn at_refresh(
    subject: &Subject,
    fault: &Fault,
    place: Place,
    sound: Sound,
    judge: &mut Judge<'_>,
) -> Result<u32> {
    let bench = Bench::new(subject, fault).await?;
    bench.run(false, None).await.outcome?;
    bench.change(2);
    let watch = meets("full refresh", &bench, true, place, sound.full, judge).await?;
    let silent = watch.outcome.as_ref().is_ok_and(|report| !tells_incomplete(report));
    if fault.duty == Duty::SetAside && silent && bench.effects().hits > 0 && !kept_poison(&bench).await? {
        judge.broken(Invariant::NoFalseSuccess, "full refresh", "a record was dropped without a word");
    }
    converges(&bench, judge).await?;
    Ok(bench.effects().hits)
}

/// Puts the fault into the first run.
async fn at_first(subject: &Subject, fault: &Fault, place: Place, sound: Sound, judge: &mut Judge<'_>) -> Result<u32> {
    let bench = Bench::new(subject, fault).await?;
    meets("first run", &bench, false, place, sound.first, judge).await?;
    // Nothing is deleted before an interrupted list continues. Records that move in the list meanwhile may be missed until a
    // full refresh ("if new items are added or removed, your expected results might differ",
    // https://developers.google.com/workspace/drive/api/guides/search-files).
    bench.write(|api| api.change(1));
    converges(&bench, judge).await?;
    Ok(bench.effects().hits)
}

/// Runs under the fault, and checks the invariants. `sound` is how many requests the run takes without it.
async fn meets(run: &str, bench: &Bench, full: bool, place: Place, sound: u32, judge: &mut Judge<'_>) -> Result<Watch> {
    let before = bench.stored().await?;
    let watch = bench.run(full, Some((place, sound))).await;
    judge.run(run, bench, &watch, &before, sound).await?;
    Ok(watch)
}

/// Returns whether the record that could not be saved was saved after all.
async fn kept_poison(bench: &Bench) -> Result<bool> {
    let live = bench.live();
    Ok(bench.stored().await?.keys().any(|key| !live.contains_key(key)))
}

/// Runs without the fault: runs bring what is missing (the first may end a list that was interrupted, the second brings what
/// changed meanwhile), and a full refresh brings exactly what exists.
async fn converges(bench: &Bench, judge: &mut Judge<'_>) -> Result<()> {
    for _ in 0..2 {
        let watch = bench.run(false, None).await;
        judge.after("the run after the fault", &watch);
    }
    if !judge.leaves_to_refresh() {
        let lacks = missing(&bench.stored().await?, &bench.live());
        if !lacks.is_empty() {
            judge.broken(Invariant::NothingLost, "the runs after the fault", format!("lacks {}", lacks.join(", ")));
        }
    }
    bench.write(|api| api.delete(3));
    let watch = bench.run(true, None).await;
    judge.after("the full refresh after the fault", &watch);
    let (stored, live) = (bench.stored().await?, bench.live());
    let (lacks, keeps) = (missing(&stored, &live), surplus(&stored, &live));
    if !lacks.is_empty() || !keeps.is_empty() {
        let what = format!("lacks [{}], keeps [{}]", lacks.join(", "), keeps.join(", "));
        judge.broken(Invariant::NothingLost, "the full refresh after the fault", what);
    }
    if bench.log_holds_secret().await? {
        judge.broken(Invariant::CauseNamed, "the run's log", "a line holds a secret");
    }
    Ok(())
}
