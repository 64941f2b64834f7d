//! One function per property; [`conformance_tests!`](crate::conformance_tests) makes tests of them.

mod accounts;
mod consumers;
mod convergence;
mod crash;
mod deletes;
mod log;
mod paging;
mod pruning;
mod renewing;
mod replays;
mod writers;

pub use accounts::*;
pub use consumers::*;
pub use convergence::*;
pub use crash::*;
pub use deletes::*;
pub use log::*;
pub use paging::*;
pub use pruning::*;
pub use renewing::*;
pub use replays::*;
pub use writers::*;
