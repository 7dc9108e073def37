//! Calls that take a placement from anywhere: the current one, one to evaluate, and two to get from one to the other.

use super::Context;
use crate::device::{DeviceSlice, Stream};
use crate::element::ExpertElement;
use crate::raw::{LayerOutputs, WindowFigure};
use crate::transfers::MoveMaps;
use crate::{Error, Evaluation, Problem, Report, Result, TransferOrder, TransferPlan};

impl Context {
    /// Copies the current placement into the context, so that later plans say how it becomes them:
    /// [`Plan::transfers`](crate::Plan::transfers), the maps before it, and their reports. Only a rebalance begins with
    /// it. It stays until the next one, or until [`forget_placement`](Self::forget_placement); plans must have its
    /// layers and slots. The plan solved before is discarded.
    ///
    /// `physical_to_logical` is `[L,S]`, the expert that each slot holds; -1 where it is empty or cannot be read. Experts
    /// may be missing.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Problem, SolveOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[90, 10, 10, 10], WeightShape::new(1, 4))?;
    /// // 2 GPUs with 3 slots each; the second one has just joined.
    /// context.upload_placement(&[0, 1, 2, -1, -1, -1], 1, 6)?;
    /// let plan = context.solve(&Problem::new(6, 2), &SolveOptions::new())?;
    /// for each in plan.transfers()? {
    ///     println!("round {}: expert {} from {:?} to slot {}", each.round, each.expert, each.source_slot, each.slot);
    /// }
    /// println!("{} rounds", plan.report()?.rounds);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidPlacement`](crate::Error::InvalidPlacement), naming layer and slot, for a number that can be no expert;
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for sizes that do not fit.
    pub fn upload_placement<T: ExpertElement>(
        &mut self,
        physical_to_logical: &[T],
        layers: usize,
        slots: usize,
    ) -> Result<()> {
        self.raw.upload_placement(Some(physical_to_logical), layers, slots)?;
        self.solved = None;
        Ok(())
    }

    /// The same from device memory, in the order of `stream`; see [`device`](crate::device).
    ///
    /// A layer with a number that is neither an expert of the weights nor -1 is found on the device: its current
    /// placement counts as empty, and [`synchronize`](Self::synchronize) or [`Plan::report`](crate::Plan::report) reports
    /// [`InvalidPlacement`](crate::Error::InvalidPlacement).
    ///
    /// # Errors
    ///
    /// As [`upload_device`](Self::upload_device).
    pub fn upload_placement_device<T: ExpertElement>(
        &mut self,
        physical_to_logical: DeviceSlice<'_, T>,
        layers: usize,
        slots: usize,
        stream: Stream<'_>,
    ) -> Result<()> {
        self.raw.upload_placement_device(physical_to_logical, layers, slots, stream)?;
        self.solved = None;
        Ok(())
    }

    /// Forgets the current placement. The plan solved before is discarded.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) after fork.
    pub fn forget_placement(&mut self) -> Result<()> {
        self.raw.upload_placement::<i32>(None, 0, 0)?;
        self.solved = None;
        Ok(())
    }

    /// Tells whether a placement, anyone's, is one, and how good it is under the uploaded weights. The solved plan
    /// is left alone.
    ///
    /// `physical_to_logical` is `[L,S]`, the expert in each slot. Two replicas of an expert on one GPU are valid and
    /// counted.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Problem, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[90, 10, 10, 10], WeightShape::new(1, 4))?;
    /// // 2 slots on each of 2 GPUs: 100 and 20 where 60 is the mean.
    /// let report = context.evaluate(&Problem::new(4, 2), &[0, 1, 2, 3])?;
    /// assert!((report.imbalance_mean - 100.0 / 60.0).abs() < 1e-12);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidPlacement`](crate::Error::InvalidPlacement), naming the rule and the layer, slot or expert: a number that
    /// is no expert, an expert without a replica, under a hierarchical policy a replica that is not on the node of its
    /// group. [`InvalidArgument`](crate::Error::InvalidArgument) for sizes that do not fit;
    /// [`InvalidState`](crate::Error::InvalidState) before an upload.
    pub fn evaluate<T: ExpertElement>(&self, problem: &Problem, physical_to_logical: &[T]) -> Result<Report> {
        let problem = problem.over(&self.raw.api().problem);
        Ok(Report::from_c(&self.raw.evaluate(&problem, physical_to_logical, None)?))
    }

    /// The same, with what belongs to each layer.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_layers<T: ExpertElement>(
        &self,
        problem: &Problem,
        physical_to_logical: &[T],
    ) -> Result<Evaluation> {
        let problem = problem.over(&self.raw.api().problem);
        let layers = self.uploaded.map_or(0, |shape| shape.layers);
        let (mut imbalance, mut bound, mut duplicates) = (vec![0.0; layers], vec![0.0; layers], vec![0; layers]);
        let outputs = LayerOutputs { imbalance: &mut imbalance, bound: &mut bound, duplicates: &mut duplicates };
        let report = Report::from_c(&self.raw.evaluate(&problem, physical_to_logical, Some(outputs))?);
        Ok(Evaluation { report, imbalance, bound, duplicates })
    }

    /// How good a placement, anyone's, is in each window of the uploaded weights: `[L,T]`, what
    /// [`Map::WindowImbalance`](crate::Map::WindowImbalance) is of a plan. The report has its mean and its worst. The solved
    /// plan is left alone.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Problem, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// // In each of 2 windows one of 2 GPUs has all the work; their sum is even.
    /// context.upload(&[10, 10, 0, 0, 0, 0, 10, 10], WeightShape::new(1, 4).windows(2))?;
    /// assert_eq!(context.evaluate_windows(&Problem::new(4, 2), &[0, 1, 2, 3])?, [2.0, 2.0]);
    /// assert_eq!(context.evaluate(&Problem::new(4, 2), &[0, 1, 2, 3])?.imbalance_mean, 1.0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate); [`Unavailable`](crate::Error::Unavailable) if windows were not kept.
    pub fn evaluate_windows<T: ExpertElement>(&self, problem: &Problem, physical_to_logical: &[T]) -> Result<Vec<f64>> {
        self.window_figure(problem, physical_to_logical, WindowFigure::Imbalance)
    }

    /// The same for the bound: what [`Map::WindowBound`](crate::Map::WindowBound) is of a plan.
    ///
    /// # Errors
    ///
    /// As [`evaluate_windows`](Self::evaluate_windows).
    pub fn bound_windows<T: ExpertElement>(&self, problem: &Problem, physical_to_logical: &[T]) -> Result<Vec<f64>> {
        self.window_figure(problem, physical_to_logical, WindowFigure::Bound)
    }

    fn window_figure<T: ExpertElement>(
        &self,
        problem: &Problem,
        physical_to_logical: &[T],
        which: WindowFigure,
    ) -> Result<Vec<f64>> {
        let problem = problem.over(&self.raw.api().problem);
        let mut figures = vec![0.0; self.uploaded.map_or(0, |shape| shape.layers * shape.windows)];
        self.raw.evaluate_windows(&problem, physical_to_logical, which, &mut figures)?;
        Ok(figures)
    }

    /// Works out how one placement becomes another, for any two; needs no weights. What was uploaded and solved stays as
    /// it is. Of the problem, only slots, GPUs and nodes matter. Works on the host, on a CUDA context too.
    ///
    /// Both are `[L,S]`, the expert in each slot now and afterwards; -1 for none. Experts may be missing.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Problem, TransferOrder};
    /// # let context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// // 2 GPUs with 2 slots each exchange an expert.
    /// let plan = context.plan_transfers(&Problem::new(4, 2), TransferOrder::Buffered, &[0, 1, 2, 3], &[0, 2, 1, 3])?;
    /// for each in &plan.transfers {
    ///     println!("round {}: expert {} from {:?} to GPU {}", each.round, each.expert, each.source_gpu, each.gpu);
    /// }
    /// assert_eq!((plan.transfers.len(), plan.report.rounds), (2, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidPlacement`](crate::Error::InvalidPlacement), naming array, layer and slot, for a number that can be no
    /// expert; [`InvalidArgument`](crate::Error::InvalidArgument) for sizes that do not fit each other;
    /// [`Unavailable`](crate::Error::Unavailable) for a transfer order that this library does not have.
    pub fn plan_transfers(
        &self,
        problem: &Problem,
        order: TransferOrder,
        current: &[i32],
        placement: &[i32],
    ) -> Result<TransferPlan> {
        if current.len() != placement.len() {
            return Err(Error::InvalidArgument(format!(
                "current has {} elements and placement {}: both must have num_layers * num_slots",
                current.len(),
                placement.len()
            )));
        }
        let c_problem = problem.over(&self.raw.api().problem);
        let ([source, round, group], report) =
            self.raw.plan_transfers(&c_problem, order.as_raw(), current, placement)?;
        let placement = placement.to_vec();
        let nodes = self.gpu_nodes(problem.num_gpus, self.nodes_of(problem));
        let maps = MoveMaps { placement, source, round, group, slots: problem.num_slots, nodes };
        Ok(TransferPlan { report: Report::from_c(&report), transfers: maps.list() })
    }
}
