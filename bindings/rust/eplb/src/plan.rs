//! A solved plan.

use std::fmt;

use crate::context::PlanShape;
use crate::device::{DeviceSliceMut, Stream};
use crate::element::{ExpertElement, MapElement};
use crate::raw::RawContext;
use crate::transfers::MoveMaps;
use crate::{Context, Map, Report, Result, Transfer};

/// A solved plan, which its context holds: fetch the maps that are to outlive it.
///
/// Whole maps come as vectors in C order. [`fetch_into`](Self::fetch_into) writes into a buffer that is kept, for
/// schedulers that solve again and again. All calls may answer
/// [`Error::InvalidState`](crate::Error::InvalidState) after fork.
pub struct Plan<'a> {
    context: &'a mut Context,
    shape: PlanShape,
}

/// Dimensions of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapShape {
    rank: usize,
    dims: [usize; 4],
}

impl MapShape {
    pub(crate) fn of(context: &RawContext, map: Map) -> Result<Self> {
        let (rank, dims) = context.map_shape(map.as_raw())?;
        // Never negative; should one be, an empty buffer is refused.
        Ok(Self { rank: usize::try_from(rank).unwrap_or(0), dims: dims.map(|dim| usize::try_from(dim).unwrap_or(0)) })
    }

    /// One number per dimension.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        self.dims.get(..self.rank).unwrap_or(&self.dims)
    }

    /// Elements in all: the length of a buffer for the map.
    #[must_use]
    pub fn num_elements(&self) -> usize {
        self.dims.iter().product()
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn new(context: &'a mut Context, shape: PlanShape) -> Self {
        Self { context, shape }
    }

    /// The context, for example to evaluate another placement under the same weights.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.context
    }

    /// L.
    #[must_use]
    pub fn num_layers(&self) -> usize {
        self.shape.layers
    }

    /// E, of a layer.
    #[must_use]
    pub fn num_experts(&self) -> usize {
        self.shape.experts
    }

    /// S, of a layer over all GPUs.
    #[must_use]
    pub fn num_slots(&self) -> usize {
        self.shape.slots
    }

    /// G.
    #[must_use]
    pub fn num_gpus(&self) -> usize {
        self.shape.gpus
    }

    /// The dimensions of a map.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a map that this library does not know.
    pub fn map_shape(&self, map: Map) -> Result<MapShape> {
        MapShape::of(&self.context.raw, map)
    }

    /// Copies a map into `buffer`, whose length must be that of the map.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Map, Problem, SolveOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// let (layers, experts, slots, gpus) = (1, 4, 6, 2);
    /// let mut buffer = vec![0_i32; layers * slots];
    /// for weights in [[90, 10, 10, 10], [10, 10, 10, 90]] {
    ///     context.upload(&weights, WeightShape::new(layers, experts))?;
    ///     let plan = context.solve(&Problem::new(slots, gpus), &SolveOptions::new())?;
    ///     plan.fetch_into(Map::PhysicalToLogical, &mut buffer)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a wrong length or a type that the map does not come in; the
    /// buffer is then as it was.
    pub fn fetch_into<T: MapElement>(&self, map: Map, buffer: &mut [T]) -> Result<()> {
        self.context.raw.fetch_into(map.as_raw(), buffer)
    }

    /// A map.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a type that the map does not come in.
    pub fn fetch<T: MapElement>(&self, map: Map) -> Result<Vec<T>> {
        self.context.raw.fetch_vec(map.as_raw(), self.map_shape(map)?.num_elements())
    }

    /// Copies a map into device memory, in the order of `stream`; see [`device`](crate::device).
    ///
    /// # Errors
    ///
    /// As [`fetch_into`](Self::fetch_into), and as [`Context::upload_device`].
    pub fn fetch_device<T: MapElement>(
        &self,
        map: Map,
        buffer: &mut DeviceSliceMut<'_, T>,
        stream: Stream<'_>,
    ) -> Result<()> {
        self.context.raw.fetch_device(map.as_raw(), buffer, stream)
    }

    /// A number that stands for the plan: equal plans have equal numbers on every machine, and two that differ have the
    /// same one with a chance of 2^-64. For ranks that solve the same problem and must agree.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn fingerprint(&self) -> Result<u64> {
        self.context.raw.fingerprint()
    }

    /// How good it is. Loads are recomputed in double from the original weights; bounds are computed here, outside the
    /// time of the solve.
    ///
    /// # Errors
    ///
    /// What [`Context::synchronize`] would tell, once.
    pub fn report(&self) -> Result<Report> {
        Ok(Report::from_c(&self.context.raw.report()?))
    }

    /// `[L,S]`: the expert in each slot. GPU g owns slots gS/G to (g+1)S/G - 1.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn physical_to_logical<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::PhysicalToLogical)
    }

    /// `[L,E,X]`: the slots of each expert in replica order, the original first, then -1. X is the cap on replicas if one
    /// was given, else S - E + 1.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn logical_to_physical<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::LogicalToPhysical)
    }

    /// `[L,E]`: how many replicas each expert has, at least one.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn replica_count<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::ReplicaCount)
    }

    /// `[L,S]`: the slots of expert 0 in replica order, then those of expert 1, and so on.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn replica_slots<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::ReplicaSlots)
    }

    /// `[L,G]`: the load of each GPU, in the weights' unit.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn gpu_load(&self) -> Result<Vec<f64>> {
        self.fetch(Map::GpuLoad)
    }

    /// `[L]`: largest over mean GPU load.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn imbalance(&self) -> Result<Vec<f64>> {
        self.fetch(Map::Imbalance)
    }

    /// `[L]`: no placement has a largest GPU load below this, in the weights' unit.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn bound(&self) -> Result<Vec<f64>> {
        self.fetch(Map::Bound)
    }

    /// `[L]`: slots whose expert already sits in a lower slot of the same GPU.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn duplicates<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::Duplicates)
    }

    /// `[L,S]`: the slot of the current placement whose contents go to this slot; its own index: unchanged; -1: nothing
    /// goes there; -2: a reload, no slot holds the expert.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) without [`Context::upload_placement`] before the solve.
    pub fn move_source<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::MoveSource)
    }

    /// `[L,S]`: -1: nothing happens; 0: any time, within the GPU or a reload; from 1 on: the round. See
    /// [`TransferOrder`](crate::TransferOrder).
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) without [`Context::upload_placement`] before the solve.
    pub fn move_round<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::MoveRound)
    }

    /// `[L,S]`: with [`TransferOrder::InPlace`](crate::TransferOrder::InPlace) the number of the cycle, else -1.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) without [`Context::upload_placement`] before the solve.
    pub fn move_group<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::MoveGroup)
    }

    /// `[L]`: moves, pairs of a GPU and an expert that it gets.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) without [`Context::upload_placement`] before the solve.
    pub fn move_count<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::MoveCount)
    }

    /// `[L,T]`: the imbalance in each window of the weights; 1 where a layer has no load.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable) if windows were not kept, see
    /// [`Map::WindowImbalance`](crate::Map::WindowImbalance).
    pub fn window_imbalance(&self) -> Result<Vec<f64>> {
        self.fetch(Map::WindowImbalance)
    }

    /// `[L,T]`: the bound for the weights of each window alone.
    ///
    /// # Errors
    ///
    /// As [`window_imbalance`](Self::window_imbalance).
    pub fn window_bound(&self) -> Result<Vec<f64>> {
        self.fetch(Map::WindowBound)
    }

    /// `[L]`: the off-home share, the load that is served away from the home of its group / all load.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn off_home(&self) -> Result<Vec<f64>> {
        self.fetch(Map::OffHome)
    }

    /// `[L]`: with these homes, no placement that reaches [`Problem::off_home_target`](crate::Problem::off_home_target)
    /// has a smaller off-home share.
    ///
    /// # Errors
    ///
    /// See [`Plan`].
    pub fn off_home_bound(&self) -> Result<Vec<f64>> {
        self.fetch(Map::OffHomeBound)
    }

    /// How the current placement becomes this plan: the move maps above as a list, by layer, round and slot.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) without [`Context::upload_placement`] before the solve.
    pub fn transfers(&self) -> Result<impl ExactSizeIterator<Item = Transfer> + use<>> {
        let PlanShape { slots, gpus, nodes, .. } = self.shape;
        let maps = MoveMaps {
            placement: self.physical_to_logical()?,
            source: self.move_source()?,
            round: self.move_round()?,
            group: self.move_group()?,
            slots,
            nodes: self.context.gpu_nodes(gpus, nodes),
        };
        Ok(maps.list().into_iter())
    }
}

impl fmt::Debug for Plan<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlanShape { layers, experts, slots, gpus, .. } = self.shape;
        formatter
            .debug_struct("Plan")
            .field("layers", &layers)
            .field("experts", &experts)
            .field("slots", &slots)
            .field("gpus", &gpus)
            .finish_non_exhaustive()
    }
}
