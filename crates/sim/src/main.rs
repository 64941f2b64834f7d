//! `highwater-sim`: the whole engine in one process, in virtual time, under every known fault.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros)]

mod api;
mod consumers;
mod credentials;
mod disk;
mod end;
mod hazards;
mod integrations;
mod issuer;
mod mischief;
mod model;
mod oracle;
mod plan;
mod process;
mod receivers;
mod shared;
mod template;
mod toggles;
mod told;
mod world;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Parser;

use highwater_core::locks::lock;
use plan::Plan;
use shared::Watch;
use world::{Outcome, simulate};

/// Runs Highwater in seeded simulations.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Threads; each runs whole seeds.
    #[arg(long)]
    jobs: Option<usize>,
    /// Show the trace, even of a seed that passes.
    #[arg(long)]
    trace: bool,
    /// Fail if a hazard was not reached.
    #[arg(long)]
    all_hazards: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let next = AtomicU64::new(arguments.first);
    let until = arguments.first.saturating_add(arguments.seeds);
    let stop = AtomicBool::new(false);
    let hazards: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let failed: Mutex<Vec<u64>> = Mutex::default();
    let well = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until {
                        return;
                    }
                    let plan = Plan::new(seed);
                    let outcome = simulate(&plan, Watch::CHECKS.with_lines(arguments.trace));
                    if arguments.trace {
                        print!("{plan}");
                        outcome.lines.iter().for_each(|line| println!("{line}"));
                    }
                    if outcome.broken.is_some() || simulate(&plan, Watch::TRACE).trace != outcome.trace {
                        stop.store(true, Ordering::Relaxed);
                        lock(&failed).push(seed);
                        return;
                    }
                    well.fetch_add(1, Ordering::Relaxed);
                    let mut hazards = lock(&hazards);
                    for (hazard, times) in outcome.hazards {
                        *hazards.entry(hazard).or_default() += times;
                    }
                }
            });
        }
    });
    let failed = std::mem::take(&mut *lock(&failed));
    if let Some(seed) = failed.iter().min() {
        explain(&Plan::new(*seed));
    }
    let (hazards, well) = (lock(&hazards), well.load(Ordering::Relaxed));
    let (reached, all) = (hazards.len(), hazards::ALL.len());
    for hazard in hazards::ALL {
        println!("{:>9} {hazard}", hazards.get(hazard).copied().unwrap_or(0));
    }
    println!("seeds {} ok {well} hazards reached {reached} of {all}", arguments.seeds);
    if failed.is_empty() && (reached == all || !arguments.all_hazards) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Shows the smallest plan that breaks the same property.
fn explain(plan: &Plan) {
    let outcome = simulate(plan, Watch::CHECKS);
    let Some(broken) = &outcome.broken else {
        println!("seed {}: two runs of it differ: the engine is not deterministic", plan.seed);
        let [one, two] = [Watch::CHECKS, Watch::TRACE].map(|watch| simulate(plan, watch.with_lines(true)).lines);
        if let Some((one, two)) = one.iter().zip(&two).find(|(one, two)| one != two) {
            println!("  first: {one}\n second: {two}");
        }
        return;
    };
    println!("seed {}: {} is broken: {}", plan.seed, broken.property, broken.what);
    let small = shrink(plan, broken.property);
    let outcome: Outcome = simulate(&small, Watch::CHECKS.with_lines(true));
    print!("minimised: {small}");
    outcome.lines.iter().for_each(|line| println!("    {line}"));
}

fn shrink(plan: &Plan, property: &str) -> Plan {
    let mut smallest = plan.clone();
    // Each round ends with a smaller plan, or is the last.
    'rounds: loop {
        for smaller in smallest.smaller() {
            if simulate(&smaller, Watch::CHECKS).broken.is_some_and(|broken| broken.property == property) {
                smallest = smaller;
                continue 'rounds;
            }
        }
        return smallest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Knob;

    #[test]
    fn a_seed_has_the_same_course_each_time() {
        let busy =
            |plan: &Plan| [Knob::Toggles, Knob::Integrations, Knob::Scheduled].iter().all(|knob| plan.has(*knob));
        for plan in (1..).map(Plan::new).filter(busy).take(3) {
            let [one, two] = [Watch::CHECKS, Watch::TRACE].map(|watch| simulate(&plan, watch));
            assert!(one.broken.is_none(), "seed {}: {:?}", plan.seed, one.broken);
            assert_eq!(one.trace, two.trace, "seed {}", plan.seed);
        }
    }
}
