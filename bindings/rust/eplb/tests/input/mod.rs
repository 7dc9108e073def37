//! Weights of any type and what is asked of them: what the golden vectors, the traces and the property test share.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(clippy::cast_precision_loss)]

use eplb::{Context, ContextOptions, Library, Policy, Problem, Result, SolveOptions, Strategy, WeightShape};

/// The library under test. None is a failure: a test that did not run has shown nothing.
pub fn library() -> Library {
    Library::load().unwrap_or_else(|error| panic!("{error}"))
}

/// Those that need weights alone: the other one starts from a placement.
pub fn strategies() -> Vec<Strategy> {
    Strategy::ALL.iter().copied().filter(|&strategy| strategy != Strategy::Rebalance).collect()
}

pub fn context() -> Context {
    Context::new(&library(), &ContextOptions::new()).expect("a CPU context can always be had")
}

/// The problem of the program in the header.
pub const WEIGHTS: [f32; 8] = [600.0, 560.0, 120.0, 120.0, 20.0, 10.0, 10.0, 10.0];
pub const SHAPE: WeightShape = WeightShape::new(1, 8);
pub const PROBLEM: Problem = Problem::new(16, 8);

pub fn uploaded() -> Context {
    let mut context = context();
    context.upload(&WEIGHTS, SHAPE).expect("these are weights");
    context
}

#[derive(Clone, Debug)]
pub enum Weights {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
}

#[derive(Clone, Debug)]
pub struct Input {
    pub weights: Weights,
    pub windows: usize,
    pub layers: usize,
    pub experts: usize,
    pub num_slots: usize,
    pub num_gpus: usize,
    pub num_nodes: usize,
    pub num_groups: usize,
    pub policy: Policy,
    pub off_home_target: f64,
    pub seed: u64,
    pub max_replicas: usize,
}

impl Input {
    pub fn new(weights: Weights, shape: [usize; 3], num_slots: usize, num_gpus: usize) -> Self {
        let [windows, layers, experts] = shape;
        Self {
            weights,
            windows,
            layers,
            experts,
            num_slots,
            num_gpus,
            num_nodes: 1,
            num_groups: 1,
            policy: Policy::Auto,
            off_home_target: 1.01,
            seed: 0,
            max_replicas: 0,
        }
    }

    pub fn problem(&self) -> Problem {
        Problem::new(self.num_slots, self.num_gpus)
            .num_nodes(self.num_nodes)
            .num_groups(self.num_groups)
            .policy(self.policy)
            .off_home_target(self.off_home_target)
    }

    pub fn options(&self, strategy: Strategy) -> SolveOptions {
        SolveOptions::new().strategy(strategy).seed(self.seed).max_replicas(self.max_replicas)
    }

    pub fn upload(&self, context: &mut Context) -> Result<()> {
        let shape = WeightShape::new(self.layers, self.experts).windows(self.windows);
        match &self.weights {
            Weights::F32(values) => context.upload(values, shape),
            Weights::F64(values) => context.upload(values, shape),
            Weights::I32(values) => context.upload(values, shape),
            Weights::I64(values) => context.upload(values, shape),
        }
    }

    /// Of an expert, summed over windows.
    pub fn weight(&self, layer: usize, expert: usize) -> f64 {
        let indices = (0..self.windows).map(|window| (window * self.layers + layer) * self.experts + expert);
        match &self.weights {
            Weights::F32(values) => indices.map(|i| f64::from(values[i])).sum(),
            Weights::F64(values) => indices.map(|i| values[i]).sum(),
            Weights::I32(values) => indices.map(|i| i64::from(values[i])).sum::<i64>() as f64,
            Weights::I64(values) => indices.map(|i| values[i]).sum::<i64>() as f64,
        }
    }

    /// num_groups as the library reads it.
    pub fn groups(&self) -> usize {
        self.num_groups.max(1)
    }

    /// The published rule.
    pub fn policy_used(&self) -> Policy {
        match self.policy {
            Policy::Auto if self.groups().is_multiple_of(self.num_nodes) => Policy::Hierarchical,
            Policy::Auto => Policy::Global,
            asked => asked,
        }
    }
}
