//! Sizes of what is to be solved.

/// A count as C takes it. What does not fit is beyond every limit, and the library says so with its sentence.
pub(crate) fn to_c(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The shape of weights: `[T,L,E]` in C order, T windows of L layers of E experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WeightShape {
    pub(crate) windows: usize,
    pub(crate) layers: usize,
    pub(crate) experts: usize,
}

impl WeightShape {
    /// `[L,E]`: one window.
    #[must_use]
    pub const fn new(layers: usize, experts: usize) -> Self {
        Self { windows: 1, layers, experts }
    }

    /// `[T,L,E]`: the number of windows, which the library sums in order.
    #[must_use]
    pub const fn windows(self, windows: usize) -> Self {
        Self { windows, ..self }
    }
}
