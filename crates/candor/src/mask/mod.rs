//! The reliable mask: masks on the feature maps of several levels that keep the output and as
//! little else as possible (Wang et al. 2020; sections 2 and 3 in book/src/explanation/evidence.md).

pub mod adam;
pub mod evidence;
pub(crate) mod extent;
pub mod fuse;
mod keep;
pub mod learn;
pub mod levels;
pub mod look;
pub mod looped;
pub mod masked;
pub mod objective;
mod placed;
pub mod places;
pub mod prepared;
pub mod settings;
mod step;
pub mod stepwise;
pub mod unrolled;
pub mod windows;

pub use learn::{Learned, Learner};
pub use levels::{Level, automatic_levels, named_levels};
pub use objective::Objective;
pub use prepared::Prepared;
pub use settings::{Returned, Settings};
