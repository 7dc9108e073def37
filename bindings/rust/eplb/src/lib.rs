#![doc = include_str!("../README.md")]
// Nothing that a caller or the library says makes this crate panic.
#![deny(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod cluster;
#[rustfmt::skip]
mod constants_generated;
mod context;
pub mod device;
mod element;
mod error;
mod interrupter;
mod library;
mod load_error;
mod open_enum;
mod plan;
mod problem;
mod raw;
mod report;
#[rustfmt::skip]
mod report_generated;
mod split;
mod static_dispatch;
#[rustfmt::skip]
mod structs_generated;
mod transfers;

pub use cluster::Cluster;
pub use constants_generated::{
    BoundKind, DeviceKind, Effort, Map, Objective, Policy, PolicyReason, Strategy, TransferOrder,
};
pub use context::Context;
pub use device::{ContextOptions, Device, DeviceSlice, DeviceSliceMut, Stream};
pub use element::{ExpertElement, MapElement, WeightElement};
pub use error::{Error, Result};
pub use interrupter::Interrupter;
pub use library::{Backend, Library};
pub use load_error::{Attempt, ENVIRONMENT, FILE, LoadError, NamedBy, Refusal};
pub use plan::{MapShape, Plan};
pub use problem::WeightShape;
pub use report::Evaluation;
pub use report_generated::Report;
pub use split::Split;
pub use static_dispatch::StaticDispatch;
pub use structs_generated::{Problem, SolveOptions, SplitOptions, StaticDispatchOptions};
pub use transfers::{Transfer, TransferKind, TransferPlan};
