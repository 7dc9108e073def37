//! Calls that choose the slot that each source rank uses of an expert.

use super::Context;
use crate::element::ExpertElement;
use crate::{Problem, Result, StaticDispatch, StaticDispatchOptions};

impl Context {
    /// For engines in which each source rank sends all of its tokens of an expert to one slot: chooses these slots over the
    /// placement that [`split_prepare`](Self::split_prepare) was given, such that the busiest GPU has little, and keeps the
    /// answer until the next upload of weights, static dispatch or preparation. Plan and split are left alone. Works on the
    /// host, whatever the context's device.
    ///
    /// Ranks are taken to have equally many tokens of every expert, of which the uploaded weights are the sums. Of the ranks
    /// that may use a slot, those on its GPU come first, and then those on its node. With
    /// [`max_swaps`](StaticDispatchOptions::max_swaps) the answer is for another placement,
    /// [`StaticDispatch::placement`], which has the same experts as often, none of them on a GPU twice that was not before;
    /// limits on moves are not looked at.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Problem, StaticDispatchOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[30, 90, 10], WeightShape::new(1, 3))?;
    /// // 2 slots on each of 2 GPUs: expert 1 is on both, and each of 2 ranks uses its own slot of it.
    /// context.split_prepare(&Problem::new(4, 2), &[0, 1, 1, 2])?;
    /// let dispatch = context.static_dispatch(&StaticDispatchOptions::new())?;
    /// assert_eq!(dispatch.slot::<i32>()?, [0, 1, 3, 0, 2, 3]);
    /// assert_eq!(dispatch.load()?, [75.0, 55.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) before an upload, before [`split_prepare`](Self::split_prepare), and if
    /// that was for weights of another shape; [`InvalidArgument`](crate::Error::InvalidArgument) for a tolerance that is
    /// not from 0 to 1 and for more than 4096 ranks. The answer that was there is then still there.
    pub fn static_dispatch(&mut self, options: &StaticDispatchOptions) -> Result<StaticDispatch<'_>> {
        let options = options.over(&self.raw.api().static_dispatch_options);
        self.raw.static_dispatch(&options)?;
        Ok(StaticDispatch::new(self))
    }

    /// [`split_prepare`](Self::split_prepare) and [`static_dispatch`](Self::static_dispatch) in one: an earlier split is
    /// discarded. After an error nothing is, what was prepared before included.
    ///
    /// # Errors
    ///
    /// Those of both.
    pub fn static_dispatch_over<T: ExpertElement>(
        &mut self,
        problem: &Problem,
        physical_to_logical: &[T],
        options: &StaticDispatchOptions,
    ) -> Result<StaticDispatch<'_>> {
        self.dispatch_over(problem, Some(physical_to_logical), options)
    }

    /// The same for the solved plan, whose problem this must be.
    ///
    /// # Errors
    ///
    /// As [`split_prepare_plan`](Self::split_prepare_plan) and [`static_dispatch`](Self::static_dispatch).
    pub fn static_dispatch_over_plan(
        &mut self,
        problem: &Problem,
        options: &StaticDispatchOptions,
    ) -> Result<StaticDispatch<'_>> {
        self.dispatch_over::<i32>(problem, None, options)
    }

    fn dispatch_over<T: ExpertElement>(
        &mut self,
        problem: &Problem,
        placement: Option<&[T]>,
        options: &StaticDispatchOptions,
    ) -> Result<StaticDispatch<'_>> {
        let api = self.raw.api();
        let (problem, options) = (problem.over(&api.problem), options.over(&api.static_dispatch_options));
        self.raw.static_dispatch_over(&problem, placement, &options)?;
        Ok(StaticDispatch::new(self))
    }
}
