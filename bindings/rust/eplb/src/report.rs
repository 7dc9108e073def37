//! How good a placement is.

use eplb_sys as sys;

use crate::{BoundKind, Policy, PolicyReason, Strategy};

/// How good a placement is under the weights it was solved for, or evaluated with.
///
/// The imbalance of a layer is its largest over its mean GPU load: 1 is perfect. A bound is a proven lower bound on the
/// largest GPU load, the same for every strategy; the gap is largest load / bound - 1, so a placement is at most that
/// far from the optimum. "Mean" and "worst" are over layers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Mean imbalance: that of the model.
    pub imbalance_mean: f64,
    /// Imbalance of the worst layer.
    pub imbalance_worst: f64,
    /// Mean of bound / mean load: `imbalance_mean` can be no lower.
    pub bound_mean: f64,
    /// Mean gap; 0.01 is one percent.
    pub gap_mean: f64,
    /// Gap of the layer where it is widest.
    pub gap_worst: f64,
    /// Time of the solve, or of the evaluation, inside the library.
    pub microseconds: f64,
    /// The lowest layer that has `imbalance_worst`.
    pub worst_layer: usize,
    /// Slots whose expert already sits in a lower slot of the same GPU, over all layers.
    pub duplicates: u64,
    /// So many of these no placement with the same replica counts could avoid.
    pub duplicates_unavoidable: u64,
    /// Memory that the context holds, weights and plan included.
    pub context_bytes: u64,
    /// What solved it; `None` for a placement that was evaluated.
    pub strategy: Option<Strategy>,
    /// What was used: never [`Policy::Auto`].
    pub policy: Policy,
    /// Why that policy was used.
    pub policy_reason: PolicyReason,
    /// Which bound the gaps are over.
    pub bound_kind: BoundKind,
}

/// Counts are never negative; should one be, zero is what it can mean.
fn count<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

impl Report {
    pub(crate) fn from_c(report: &sys::eplb_report) -> Self {
        Self {
            imbalance_mean: report.imbalance_mean,
            imbalance_worst: report.imbalance_worst,
            bound_mean: report.bound_mean,
            gap_mean: report.gap_mean,
            gap_worst: report.gap_worst,
            microseconds: report.microseconds,
            worst_layer: count(report.worst_layer),
            duplicates: count(report.duplicates),
            duplicates_unavoidable: count(report.duplicates_unavoidable),
            context_bytes: count(report.context_bytes),
            strategy: (report.strategy >= 0).then(|| Strategy::from_raw(report.strategy)),
            policy: Policy::from_raw(report.policy),
            policy_reason: PolicyReason::from_raw(report.policy_reason),
            bound_kind: BoundKind::from_raw(report.bound_kind),
        }
    }
}

/// A report with what belongs to each layer. The vectors have one element per layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// What is over all layers.
    pub report: Report,
    /// Largest over mean GPU load.
    pub imbalance: Vec<f64>,
    /// No placement has a largest GPU load below this, in the weights' unit.
    pub bound: Vec<f64>,
    /// Slots whose expert already sits in a lower slot of the same GPU.
    pub duplicates: Vec<i64>,
}
