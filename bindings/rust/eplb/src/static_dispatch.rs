//! Which slot each source rank uses of an expert.

use std::fmt;

use crate::element::{ExpertElement, MapElement};
use crate::plan::MapShape;
use crate::{Context, Map, Result};

/// Which slot each source rank uses of every expert, where all of its tokens of an expert go to one. The context holds it:
/// fetch the maps that are to outlive it. R is the number of ranks, of which rank r is on GPU floor(r * G / R). All calls may
/// answer [`Error::InvalidState`](crate::Error::InvalidState) after fork.
pub struct StaticDispatch<'a> {
    context: &'a mut Context,
}

impl<'a> StaticDispatch<'a> {
    pub(crate) fn new(context: &'a mut Context) -> Self {
        Self { context }
    }

    /// The context, for example to evaluate a placement under the same weights.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.context
    }

    /// The dimensions of a map from [`Map::DispatchSlot`] on.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable) for a map that this library does not know.
    pub fn map_shape(&self, map: Map) -> Result<MapShape> {
        MapShape::of(&self.context.raw, map)
    }

    /// Copies a map into `buffer`, whose length must be that of the map: for loops that dispatch again and again.
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

    /// `[L,R,E]`: the slot that a rank uses of an expert.
    ///
    /// # Errors
    ///
    /// See [`StaticDispatch`].
    pub fn slot<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::DispatchSlot)
    }

    /// `[L,S]`: the expert in each slot after the swaps; without any, the placement that was given.
    ///
    /// # Errors
    ///
    /// See [`StaticDispatch`].
    pub fn placement<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::DispatchPlacement)
    }

    /// `[L,S]`: how many ranks use the slot; R for each expert.
    ///
    /// # Errors
    ///
    /// See [`StaticDispatch`].
    pub fn ranks<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::DispatchRanks)
    }

    /// `[L,G]`: of each slot, the weight of its expert times its part of the ranks, added up.
    ///
    /// # Errors
    ///
    /// See [`StaticDispatch`].
    pub fn load(&self) -> Result<Vec<f64>> {
        self.fetch(Map::DispatchLoad)
    }

    /// `[L]`: largest over mean load; of GPUs of different speeds, time.
    ///
    /// # Errors
    ///
    /// See [`StaticDispatch`].
    pub fn imbalance(&self) -> Result<Vec<f64>> {
        self.fetch(Map::DispatchImbalance)
    }

    /// `[L]`: no table has a largest load (time, if speeds differ) below this, in the weights' unit: that of a split over
    /// the placement that was given; with [`max_swaps`](crate::StaticDispatchOptions::max_swaps), the mean.
    ///
    /// # Errors
    ///
    /// See [`StaticDispatch`].
    pub fn bound(&self) -> Result<Vec<f64>> {
        self.fetch(Map::DispatchBound)
    }
}

impl fmt::Debug for StaticDispatch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StaticDispatch").field("context", &self.context).finish()
    }
}
