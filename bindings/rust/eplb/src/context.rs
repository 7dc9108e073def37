//! A context: weights in, plans and reports out.

use std::fmt;

use crate::device::{ContextOptions, DeviceSlice, Stream};
use crate::element::{ExpertElement, WeightElement};
use crate::raw::RawContext;
use crate::report::count;
use crate::{Cluster, Error, Interrupter, Library, Plan, Problem, Result, SolveOptions, Strategy, WeightShape};

mod placements;
mod splits;
mod static_dispatch;
mod tables;

/// Owns the uploaded weights, the solved plan and the memory of the search; keep it for repeated solves.
///
/// **Threads.** A context may move between threads but is used by one at a time, so it is [`Send`] and not [`Sync`];
/// different contexts are independent. For one that several threads share, put it into a `Mutex`. Any thread can end the
/// call that runs, by an [`Interrupter`](crate::Interrupter).
///
/// **Fork.** In a child process it is useless: every call is [`Error::InvalidState`](crate::Error::InvalidState). It may
/// be dropped there.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use eplb::{Context, ContextOptions, Library, Problem, SolveOptions, WeightShape};
///
/// let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
/// // 2 layers of 4 experts: tokens routed to each.
/// context.upload(&[90.0_f32, 30.0, 20.0, 10.0, 5.0, 5.0, 80.0, 10.0], WeightShape::new(2, 4))?;
/// // 6 slots on 2 GPUs.
/// let plan = context.solve(&Problem::new(6, 2), &SolveOptions::new())?;
/// let experts: Vec<i32> = plan.physical_to_logical()?;
/// for (layer, slots) in experts.chunks(plan.num_slots()).enumerate() {
///     println!("layer {layer}: {slots:?}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// It cannot be shared:
///
/// ```compile_fail,E0277
/// fn assert_sync<T: Sync>() {}
/// assert_sync::<eplb::Context>();
/// ```
///
/// Nor is it cloned, so it is freed once:
///
/// ```compile_fail,E0277
/// fn assert_clone<T: Clone>() {}
/// assert_clone::<eplb::Context>();
/// ```
///
/// A plan that was solved before is gone with the next upload or solve, and the compiler says so:
///
/// ```compile_fail,E0499
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use eplb::{Context, ContextOptions, Library, Problem, SolveOptions, WeightShape};
/// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
/// # context.upload(&[1, 2, 3, 4], WeightShape::new(1, 4))?;
/// let plan = context.solve(&Problem::new(4, 2), &SolveOptions::new())?;
/// context.upload(&[4, 3, 2, 1], WeightShape::new(1, 4))?;
/// let report = plan.report()?;
/// # Ok(())
/// # }
/// ```
pub struct Context {
    pub(crate) raw: RawContext,
    uploaded: Option<WeightShape>,
    solved: Option<PlanShape>,
    /// The node of each GPU, where a cluster says it.
    gpu_nodes: Option<Vec<usize>>,
}

/// Dimensions of a solved plan.
#[derive(Clone, Copy)]
pub(crate) struct PlanShape {
    pub(crate) layers: usize,
    pub(crate) experts: usize,
    pub(crate) slots: usize,
    pub(crate) gpus: usize,
    pub(crate) nodes: usize,
}

impl Context {
    /// Makes a context.
    ///
    /// # Errors
    ///
    /// [`NotBuilt`](crate::Error::NotBuilt), [`NoDriver`](crate::Error::NoDriver) or
    /// [`NoDevice`](crate::Error::NoDevice) for a device that cannot be had;
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a number of threads that cannot be.
    pub fn new(library: &Library, options: &ContextOptions) -> Result<Self> {
        let options = options.over(&library.api().context_options);
        let raw = RawContext::new(library.api().clone(), &options)?;
        Ok(Self { raw, uploaded: None, solved: None, gpu_nodes: None })
    }

    /// What ends the call that this context is running, from another thread: `solve`, `rebalance`, `evaluate`, a report, or
    /// whatever else takes long. Work that `..._device` calls have queued on a stream is not stopped.
    ///
    /// A request that comes before the call begins is lost. Where that may be, it is repeated until the call has returned:
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::sync::mpsc::{RecvTimeoutError::Timeout, channel};
    /// # use std::time::Duration;
    /// # use eplb::{Context, ContextOptions, Error, Library, Problem, SolveOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// # let weights: Vec<i32> = (0..1000 * 10_000).map(|index| index % 1009).collect();
    /// context.upload(&weights, WeightShape::new(1000, 10_000))?;
    /// let interrupter = context.interrupter();
    /// let solved = std::thread::scope(|scope| {
    ///     let (returned, has_returned) = channel::<()>();
    ///     scope.spawn(move || {
    ///         let mut patience = Duration::from_millis(5);
    ///         while has_returned.recv_timeout(patience) == Err(Timeout) {
    ///             interrupter.interrupt();
    ///             patience = Duration::from_millis(1);
    ///         }
    ///     });
    ///     let solved = context.solve(&Problem::new(12_000, 1000), &SolveOptions::new());
    ///     drop(returned);
    ///     solved.map(|plan| plan.num_slots())
    /// });
    /// assert!(matches!(solved, Err(Error::Interrupted(_))));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        Interrupter::new(self.raw.interrupter())
    }

    /// Copies weights into the context, for any number of solves and evaluations. Windows are summed in order, floats in
    /// double, integers exactly. The plan solved before is discarded.
    ///
    /// `weights` is `[T,L,E]` as `shape` says, in C order: the tokens routed to each expert.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument) if there are more or fewer weights than the shape has.
    /// [`InvalidWeight`](crate::Error::InvalidWeight), naming layer and expert, for NaN, infinite and negative weights,
    /// and for sums that are out of range. Zero is a weight like any other.
    pub fn upload<T: WeightElement>(&mut self, weights: &[T], shape: WeightShape) -> Result<()> {
        self.raw.upload(weights, shape)?;
        self.uploaded = Some(shape);
        self.solved = None;
        Ok(())
    }

    /// The same from device memory, in the order of `stream`; see [`device`](crate::device).
    ///
    /// A bad weight is found on the device: its layer is solved as a layer of zeros, and
    /// [`synchronize`](Self::synchronize) or [`Plan::report`] tells.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument) on a CPU context;
    /// [`InvalidState`](crate::Error::InvalidState) beyond what was reserved.
    pub fn upload_device<T: WeightElement>(
        &mut self,
        weights: DeviceSlice<'_, T>,
        shape: WeightShape,
        stream: Stream<'_>,
    ) -> Result<()> {
        self.raw.upload_device(weights, shape, stream)?;
        self.uploaded = Some(shape);
        self.solved = None;
        Ok(())
    }

    /// Copies the cluster into the context: what sets its GPUs apart. It is part of every later solve and evaluation, whose
    /// problem must have its number of GPUs, until the next one or [`forget_cluster`](Self::forget_cluster). The plan solved
    /// before is discarded.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Cluster, Context, ContextOptions, Library, Problem, SolveOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[90, 10, 10, 10], WeightShape::new(1, 4))?;
    /// // GPU 1 of 3 has died, and what it held cannot be read.
    /// context.upload_cluster(&Cluster::new(3).slots([2, 0, 2]))?;
    /// let plan = context.rebalance(&[0, 1, -1, -1, 2, 0], &Problem::new(6, 3), &SolveOptions::new())?;
    /// println!("{:?}", plan.physical_to_logical::<i32>()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument), naming the GPU, for values that cannot be, and for arrays that do
    /// not have one for each GPU.
    pub fn upload_cluster(&mut self, cluster: &Cluster) -> Result<()> {
        self.raw.upload_cluster(Some(&cluster.arrays()?))?;
        self.gpu_nodes = cluster.gpu_nodes();
        self.solved = None;
        Ok(())
    }

    /// Forgets the cluster: all GPUs are equal again. The plan solved before is discarded.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) after fork.
    pub fn forget_cluster(&mut self) -> Result<()> {
        self.raw.upload_cluster(None)?;
        self.gpu_nodes = None;
        self.solved = None;
        Ok(())
    }

    /// Computes a plan for the uploaded weights and keeps it in the context. Returns finished.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument), with the numbers and the nearest legal value, for sizes that do
    /// not fit each other and for a cap on replicas that cannot be kept;
    /// [`InvalidState`](crate::Error::InvalidState) before an upload;
    /// [`Unavailable`](crate::Error::Unavailable) for a strategy, effort, policy, bound kind, objective or transfer order
    /// that this library does not have;
    /// [`InvalidPlacement`](crate::Error::InvalidPlacement) for a current placement with an expert that the weights lack;
    /// [`InvalidWeight`](crate::Error::InvalidWeight) for weights that the float32 of
    /// [`Strategy::Greedy`](crate::Strategy::Greedy) does not hold.
    /// The plan of the last good solve is then still there: [`plan`](Self::plan).
    pub fn solve(&mut self, problem: &Problem, options: &SolveOptions) -> Result<Plan<'_>> {
        let api = self.raw.api();
        let (c_problem, c_options) = (problem.over(&api.problem), options.over(&api.solve_options));
        self.raw.solve(&c_problem, &c_options)?;
        Ok(self.solved(problem))
    }

    /// Changes the placement `current` by few moves, for the uploaded weights. A move is a GPU and an expert that it
    /// gets. Without limits, layers whose imbalance is above 1.02 are brought to that with as few moves as possible, and
    /// the others stay as they are; `options` has limits, each of which is kept exactly. Moves of experts that
    /// can stay on no GPU, because theirs are dead or lose slots, are forced: they come first and count like all others.
    ///
    /// `current` is `[L,S]`, as [`upload_placement`](Self::upload_placement) takes it, and stays uploaded. The strategy of
    /// `options` is not looked at.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Problem, SolveOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[90, 10, 10, 10], WeightShape::new(1, 4))?;
    /// let current = [0, 1, 2, 3, 1, 2];
    /// let plan = context.rebalance(&current, &Problem::new(6, 2), &SolveOptions::new().max_moves(1))?;
    /// println!("{:?} after {} moves", plan.physical_to_logical::<i32>()?, plan.report()?.moves);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`upload_placement`](Self::upload_placement) and [`solve`](Self::solve);
    /// [`InvalidArgument`](crate::Error::InvalidArgument), with both numbers, for a limit below the moves that are forced.
    pub fn rebalance<T: ExpertElement>(
        &mut self,
        current: &[T],
        problem: &Problem,
        options: &SolveOptions,
    ) -> Result<Plan<'_>> {
        let layers = self.uploaded.map_or(0, |shape| shape.layers);
        if layers == 0 {
            return Err(Error::InvalidState("rebalance needs weights, and none were uploaded".into()));
        }
        self.upload_placement(current, layers, problem.num_slots)?;
        self.solve(problem, &options.strategy(Strategy::Rebalance))
    }

    /// [`solve`](Self::solve) in the order of `stream`; see [`device`](crate::device). What the plan then fetches to the host
    /// waits for the device. What [`Strategy::Greedy`](crate::Strategy::Greedy) cannot do with a layer, its float32 or the
    /// cap on replicas, is reported as a bad weight is.
    ///
    /// # Errors
    ///
    /// As [`upload_device`](Self::upload_device).
    pub fn solve_device(&mut self, problem: &Problem, options: &SolveOptions, stream: Stream<'_>) -> Result<Plan<'_>> {
        let api = self.raw.api();
        let (c_problem, c_options) = (problem.over(&api.problem), options.over(&api.solve_options));
        self.raw.solve_device(&c_problem, &c_options, stream)?;
        Ok(self.solved(problem))
    }

    /// What a solve that worked leaves: sizes that fit each other. The library is not asked for them, since a call for
    /// the host would wait for the device.
    fn solved(&mut self, problem: &Problem) -> Plan<'_> {
        let WeightShape { layers, experts, .. } = self.uploaded.unwrap_or(WeightShape::new(0, 0));
        let nodes = self.nodes_of(problem);
        let shape = PlanShape { layers, experts, slots: problem.num_slots, gpus: problem.num_gpus, nodes };
        self.solved = Some(shape);
        Plan::new(self, shape)
    }

    fn nodes_of(&self, problem: &Problem) -> usize {
        count(problem.over(&self.raw.api().problem).num_nodes)
    }

    /// The node of each GPU: consecutive ones are on a node unless the cluster says otherwise.
    pub(crate) fn gpu_nodes(&self, gpus: usize, nodes: usize) -> Vec<usize> {
        // More nodes than GPUs are more than any GPU is on.
        let equal = || (0..gpus).map(|gpu| gpu.saturating_mul(nodes) / gpus).collect();
        self.gpu_nodes.clone().unwrap_or_else(equal)
    }

    /// The plan of the last good solve, unless an upload or [`reserve`](Self::reserve) has discarded it.
    pub fn plan(&mut self) -> Option<Plan<'_>> {
        let shape = self.solved?;
        Some(Plan::new(self, shape))
    }

    /// Sizes all memory for weights of type `T` and such a shape, solved so, such that later calls up to this size
    /// allocate nothing. The only call that prepares `..._device` calls, and the only limit on them; on a CPU context a
    /// hint. What was uploaded and solved is discarded.
    ///
    /// # Errors
    ///
    /// As [`solve`](Self::solve), and [`DeviceOutOfMemory`](crate::Error::DeviceOutOfMemory).
    pub fn reserve<T: WeightElement>(
        &mut self,
        shape: WeightShape,
        problem: &Problem,
        options: &SolveOptions,
    ) -> Result<()> {
        let api = self.raw.api();
        let (problem, options) = (problem.over(&api.problem), options.over(&api.solve_options));
        self.raw.reserve::<T>(shape, &problem, &options)?;
        self.uploaded = None;
        self.solved = None;
        Ok(())
    }

    /// Waits until everything asked of the context is done, and reports what only the device could tell, once. On a CPU
    /// context all calls return finished, so this does nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidWeight`](crate::Error::InvalidWeight) with the lowest (layer, expert);
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a cap on replicas that
    /// [`Strategy::Greedy`](crate::Strategy::Greedy) would exceed. Such layers were solved as layers of zeros.
    pub fn synchronize(&self) -> Result<()> {
        self.raw.synchronize()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Context").field("uploaded", &self.uploaded).finish_non_exhaustive()
    }
}
