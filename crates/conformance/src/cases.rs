//! One function per property; [`conformance_tests!`](crate::conformance_tests) generates a test for each.

mod backup;
mod clock;
mod consumers;
mod convergence;
mod crash;
mod deletes;
mod erasure;
mod failures;
mod log;
mod opening;
mod paging;
mod pruning;
mod renewing;
mod replays;
mod summaries;
mod versions;
mod writers;

pub use backup::*;
pub use clock::*;
pub use consumers::*;
pub use convergence::*;
pub use crash::*;
pub use deletes::*;
pub use erasure::*;
pub use failures::*;
pub use log::*;
pub use opening::*;
pub use paging::*;
pub use pruning::*;
pub use renewing::*;
pub use replays::*;
pub use summaries::*;
pub use versions::*;
pub use writers::*;
