//! Calls that split tokens over replicas.

use super::Context;
use crate::device::{DeviceSlice, Stream};
use crate::element::ExpertElement;
use crate::{Problem, Result, Split, SplitOptions};

impl Context {
    /// Takes a placement, anyone's, over which tokens are to be split, and works out what depends on it alone: once, for any
    /// number of splits. It stays while weights of the same shape are uploaded; a new cluster, prices, weights of windows
    /// and [`reserve`](Self::reserve) discard it. The solved plan is left alone, an earlier split or static dispatch is
    /// discarded.
    ///
    /// `physical_to_logical` is `[L,S]`, the expert in each slot, -1 where there is none.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Problem, SplitOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[30, 90, 10], WeightShape::new(1, 3))?;
    /// // 2 slots on each of 2 GPUs: expert 1 is on both.
    /// context.split_prepare(&Problem::new(4, 2), &[0, 1, 1, 2])?;
    /// let split = context.split(&SplitOptions::new())?;
    /// assert_eq!(split.quota()?, [30.0, 35.0, 55.0, 10.0]);
    /// assert_eq!(split.load()?, [65.0, 65.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn split_prepare<T: ExpertElement>(&mut self, problem: &Problem, physical_to_logical: &[T]) -> Result<()> {
        let problem = problem.over(&self.raw.api().problem);
        self.raw.split_prepare(&problem, Some(physical_to_logical))
    }

    /// The same for the solved plan, whose problem this must be.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) without a plan; [`InvalidArgument`](crate::Error::InvalidArgument) for a
    /// problem with other slots or GPUs.
    pub fn split_prepare_plan(&mut self, problem: &Problem) -> Result<()> {
        let problem = problem.over(&self.raw.api().problem);
        self.raw.split_prepare::<i32>(&problem, None)
    }

    /// Splits the tokens of every expert, the uploaded weights, over its replicas in the placement that was prepared, such
    /// that the busiest GPU has as few as can be, and keeps the answer until the next upload, split or preparation. The
    /// solved plan is left alone: [`plan`](Self::plan).
    ///
    /// Whole weights of a layer whose sum is below 2^29 are split as they are, others are rounded to about 2^-28 of their
    /// sum first.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) before an upload, before [`split_prepare`](Self::split_prepare), and if
    /// that was for weights of another shape; [`InvalidArgument`](crate::Error::InvalidArgument) for a tolerance that is
    /// not from 0 to 1. The split that was there is then still there.
    pub fn split(&mut self, options: &SplitOptions) -> Result<Split<'_>> {
        let options = options.over(&self.raw.api().split_options);
        self.raw.split(&options)?;
        Ok(Split::new(self))
    }

    /// [`split_prepare`](Self::split_prepare) from device memory, in the order of `stream`; see [`device`](crate::device). That
    /// call takes the memory for this one, for problems up to the largest that it was given.
    ///
    /// A layer that is not a placement of all experts is found on the device: it counts as one without any, and
    /// [`synchronize`](Self::synchronize) or [`Plan::report`](crate::Plan::report) reports
    /// [`InvalidPlacement`](crate::Error::InvalidPlacement).
    ///
    /// # Errors
    ///
    /// As [`upload_device`](Self::upload_device); [`InvalidState`](crate::Error::InvalidState) without that memory.
    pub fn split_prepare_device<T: ExpertElement>(
        &mut self,
        problem: &Problem,
        physical_to_logical: DeviceSlice<'_, T>,
        stream: Stream<'_>,
    ) -> Result<()> {
        let problem = problem.over(&self.raw.api().problem);
        self.raw.split_prepare_device(&problem, Some(physical_to_logical), stream)
    }

    /// The same for the plan in reserved memory, whose problem this must be.
    ///
    /// # Errors
    ///
    /// As [`split_prepare_device`](Self::split_prepare_device).
    pub fn split_prepare_plan_device(&mut self, problem: &Problem, stream: Stream<'_>) -> Result<()> {
        let problem = problem.over(&self.raw.api().problem);
        self.raw.split_prepare_device::<i32>(&problem, None, stream)
    }

    /// [`split`](Self::split) of weights in reserved device memory, in the order of `stream`; see
    /// [`device`](crate::device). What is fetched to the host waits for the device.
    ///
    /// # Errors
    ///
    /// As [`split_prepare_device`](Self::split_prepare_device); [`InvalidState`](crate::Error::InvalidState) without weights
    /// there.
    pub fn split_device(&mut self, options: &SplitOptions, stream: Stream<'_>) -> Result<Split<'_>> {
        let options = options.over(&self.raw.api().split_options);
        self.raw.split_device(&options, stream)?;
        Ok(Split::new(self))
    }
}
