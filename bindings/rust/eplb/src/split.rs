//! Tokens that are split over replicas.

use std::fmt;

use crate::element::{ExpertElement, MapElement};
use crate::plan::MapShape;
use crate::{Context, Map, Result};

/// How the tokens of every expert are split over its replicas, which the context holds: fetch the maps that are to outlive
/// it. All calls may answer [`Error::InvalidState`](crate::Error::InvalidState) after fork.
pub struct Split<'a> {
    context: &'a mut Context,
}

impl<'a> Split<'a> {
    pub(crate) fn new(context: &'a mut Context) -> Self {
        Self { context }
    }

    /// The context, for example to evaluate a placement under the same weights.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.context
    }

    /// The dimensions of a map from [`Map::Share`] on.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable) for a map that this library does not know.
    pub fn map_shape(&self, map: Map) -> Result<MapShape> {
        MapShape::of(&self.context.raw, map)
    }

    /// Copies a map into `buffer`, whose length must be that of the map: for loops that split again and again.
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

    /// `[L,S]`: an expert's tokens over its slots, in 1/65536: 65536 for each expert. Of its slots on one GPU the lowest
    /// has all. An expert without tokens is split evenly, in proportion to speeds.
    ///
    /// # Errors
    ///
    /// See [`Split`].
    pub fn share<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::Share)
    }

    /// `[L,S]`: the same in tokens, the weights' unit: whole numbers that add up to the weight if that was an integer.
    ///
    /// # Errors
    ///
    /// See [`Split`].
    pub fn quota(&self) -> Result<Vec<f64>> {
        self.fetch(Map::Quota)
    }

    /// `[L,G]`: the quotas of each GPU, added up.
    ///
    /// # Errors
    ///
    /// See [`Split`].
    pub fn load(&self) -> Result<Vec<f64>> {
        self.fetch(Map::SplitLoad)
    }

    /// `[L]`: largest over mean load; of GPUs of different speeds, time.
    ///
    /// # Errors
    ///
    /// See [`Split`].
    pub fn imbalance(&self) -> Result<Vec<f64>> {
        self.fetch(Map::SplitImbalance)
    }

    /// `[L]`: no split over this placement has a largest load (time, if speeds differ) below this, in the weights' unit.
    ///
    /// # Errors
    ///
    /// See [`Split`].
    pub fn bound(&self) -> Result<Vec<f64>> {
        self.fetch(Map::SplitBound)
    }

    /// `[L,G]`: 1 for the GPUs that the bound is of. It is the weight of experts that are on no other GPU, divided by the
    /// speeds of these: a certificate that anyone can check.
    ///
    /// # Errors
    ///
    /// See [`Split`].
    pub fn tight<T: ExpertElement>(&self) -> Result<Vec<T>> {
        self.fetch(Map::SplitTight)
    }
}

impl fmt::Debug for Split<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Split").field("context", &self.context).finish()
    }
}
