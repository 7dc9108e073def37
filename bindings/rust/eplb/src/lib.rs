#![doc = include_str!("../README.md")]
// Nothing that a caller or the library says makes this crate panic.
#![deny(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod constants;
mod context;
pub mod device;
mod element;
mod error;
mod generated;
mod library;
mod load_error;
mod plan;
mod problem;
mod raw;
mod report;

pub use context::Context;
pub use device::{ContextOptions, Device, DeviceSlice, DeviceSliceMut, Stream};
pub use element::{ExpertElement, MapElement, WeightElement};
pub use error::{Error, Result};
pub use generated::{BoundKind, DeviceKind, Effort, Map, Policy, PolicyReason, Strategy};
pub use library::{Backend, Library};
pub use load_error::{Attempt, ENVIRONMENT, FILE, LoadError, NamedBy, Refusal};
pub use plan::{MapShape, Plan};
pub use problem::{Problem, SolveOptions, WeightShape};
pub use report::{Evaluation, Report};
