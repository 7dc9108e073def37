//! How good a placement is.

use crate::Report;

/// Counts are never negative; should one be, zero is what it can mean.
pub(crate) fn count<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
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
