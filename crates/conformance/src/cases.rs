//! One function per property; [`conformance_tests!`](crate::conformance_tests) makes tests of them.

mod accounts;
mod consumers;
mod convergence;
mod crash;
mod deletes;
mod failures;
mod log;
mod opening;
mod paging;
mod pruning;
mod replays;
mod writers;

pub use accounts::*;
pub use consumers::*;
pub use convergence::*;
pub use crash::*;
pub use deletes::*;
pub use failures::*;
pub use log::*;
pub use opening::*;
pub use paging::*;
pub use pruning::*;
pub use replays::*;
pub use writers::*;
