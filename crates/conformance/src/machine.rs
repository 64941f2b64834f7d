//! The state machine: random histories, each step compared with the model, and every externally
//! visible property checked after each step.

mod chances;
mod checks;
mod content;
mod model;
mod steps;
mod system;

use proptest::bool::weighted;
use proptest::strategy::{BoxedStrategy, Strategy};
use proptest::test_runner::{Config, FileFailurePersistence, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use crate::subject::Subject;
use model::{Handles, Model};
use steps::Step;
use system::System;

/// Histories when `PROPTEST_CASES` says nothing.
const CASES: u32 = 24;
/// Steps of one history.
const STEPS: std::ops::Range<usize> = 1..70;

struct Reference<S>(std::marker::PhantomData<S>);

impl<S: Subject> ReferenceStateMachine for Reference<S> {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        weighted(0.7).prop_map(|remembers| Model::new(remembers, Handles::of::<S>())).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        chances::step().boxed()
    }

    fn apply(mut state: Model, step: &Step) -> Model {
        state.apply(step);
        state
    }
}

struct Machine<S>(std::marker::PhantomData<S>);

impl<S: Subject> StateMachineTest for Machine<S> {
    type SystemUnderTest = System<S>;
    type Reference = Reference<S>;

    fn init_test(model: &Model) -> System<S> {
        System::new(model.remembers)
    }

    fn apply(mut system: System<S>, model: &Model, step: Step) -> System<S> {
        system.apply(model, &step);
        system
    }

    fn check_invariants(system: &System<S>, model: &Model) {
        checks::everything(system, model);
    }
}

/// Runs random histories against the model (P1, P3 to P8, P10 to P12, P14, P16 to P21, P24 to P29, P31
/// to P33, P37). A failure is shrunk to the shortest history that still fails.
pub fn state_machine<S: Subject>() {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(CASES),
        failure_persistence: None::<Box<FileFailurePersistence>>.map(|never| never as _),
        max_shrink_iters: 4096,
        ..Config::default()
    };
    let histories = <Reference<S> as ReferenceStateMachine>::sequential_strategy(STEPS);
    let outcome = TestRunner::new(config.clone()).run(&histories, |(model, steps, seen)| {
        Machine::<S>::test_sequential(config.clone(), model, steps, seen);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, (_, steps, _))) => {
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
            panic!("{reason}\nafter these steps:\n{}", steps.join("\n"));
        }
        Err(TestError::Abort(reason)) => panic!("the state machine gave up: {reason}"),
    }
}
