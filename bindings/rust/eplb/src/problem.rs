//! What is to be solved, and how.

use eplb_sys as sys;

use crate::{BoundKind, Effort, Policy, Strategy};

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

    /// `[T,L,E]`: so many windows, which the library sums in order.
    #[must_use]
    pub const fn windows(self, windows: usize) -> Self {
        Self { windows, ..self }
    }
}

/// The cluster and the rule. What is not set is the library's default, as the header states it.
///
/// ```
/// use eplb::{Policy, Problem};
///
/// let problem = Problem::new(288, 32).num_nodes(4).num_groups(8).policy(Policy::Hierarchical);
/// # let _ = problem;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    pub(crate) num_slots: usize,
    pub(crate) num_gpus: usize,
    num_nodes: Option<usize>,
    num_groups: Option<usize>,
    policy: Option<Policy>,
    bound_kind: Option<BoundKind>,
}

impl Problem {
    /// `num_slots`: slots of a layer over all GPUs, at least the experts, a multiple of `num_gpus`, at most 2^18.
    #[must_use]
    pub const fn new(num_slots: usize, num_gpus: usize) -> Self {
        Self { num_slots, num_gpus, num_nodes: None, num_groups: None, policy: None, bound_kind: None }
    }

    /// Nodes that the GPUs are on; under a hierarchical policy the GPUs must be a multiple of it. Default 1.
    #[must_use]
    pub const fn num_nodes(self, num_nodes: usize) -> Self {
        Self { num_nodes: Some(num_nodes), ..self }
    }

    /// Equal groups of consecutive experts; under a hierarchical policy a multiple of the nodes that divides the
    /// experts. Default 1; 0 means 1.
    #[must_use]
    pub const fn num_groups(self, num_groups: usize) -> Self {
        Self { num_groups: Some(num_groups), ..self }
    }

    /// Whether groups stay on nodes. Default [`Policy::Auto`].
    #[must_use]
    pub const fn policy(self, policy: Policy) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// Which bound reports use; it costs time there, never in a solve. Default [`BoundKind::Simple`].
    #[must_use]
    pub const fn bound_kind(self, bound_kind: BoundKind) -> Self {
        Self { bound_kind: Some(bound_kind), ..self }
    }

    pub(crate) fn over(&self, defaults: &sys::eplb_problem) -> sys::eplb_problem {
        sys::eplb_problem {
            num_slots: to_c(self.num_slots),
            num_gpus: to_c(self.num_gpus),
            num_nodes: self.num_nodes.map_or(defaults.num_nodes, to_c),
            num_groups: self.num_groups.map_or(defaults.num_groups, to_c),
            policy: self.policy.map_or(defaults.policy, Policy::as_raw),
            bound_kind: self.bound_kind.map_or(defaults.bound_kind, BoundKind::as_raw),
            ..*defaults
        }
    }
}

/// How to solve. What is not set is the library's default, as the header states it: [`Strategy::Best`] at
/// [`Effort::Normal`], seed 0, no cap.
///
/// ```
/// use eplb::{Effort, SolveOptions};
///
/// let options = SolveOptions::new().effort(Effort::Max).seed(7);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SolveOptions {
    strategy: Option<Strategy>,
    effort: Option<Effort>,
    seed: Option<u64>,
    max_replicas: Option<usize>,
}

impl SolveOptions {
    /// The library's defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { strategy: None, effort: None, seed: None, max_replicas: None }
    }

    /// How replicas are counted and placed.
    #[must_use]
    pub const fn strategy(self, strategy: Strategy) -> Self {
        Self { strategy: Some(strategy), ..self }
    }

    /// How much work [`Strategy::Best`] may do.
    #[must_use]
    pub const fn effort(self, effort: Effort) -> Self {
        Self { effort: Some(effort), ..self }
    }

    /// Chance is a hash of this: the same seed gives the same answer.
    #[must_use]
    pub const fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// At most so many replicas of any expert, and the X of [`Map::LogicalToPhysical`](crate::Map::LogicalToPhysical).
    /// 0 means no cap.
    #[must_use]
    pub const fn max_replicas(self, max_replicas: usize) -> Self {
        Self { max_replicas: Some(max_replicas), ..self }
    }

    pub(crate) fn over(&self, defaults: &sys::eplb_solve_options) -> sys::eplb_solve_options {
        sys::eplb_solve_options {
            strategy: self.strategy.map_or(defaults.strategy, Strategy::as_raw),
            effort: self.effort.map_or(defaults.effort, Effort::as_raw),
            seed: self.seed.unwrap_or(defaults.seed),
            max_replicas: self.max_replicas.map_or(defaults.max_replicas, to_c),
            ..*defaults
        }
    }
}
