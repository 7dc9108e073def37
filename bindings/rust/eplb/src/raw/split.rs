//! Calls that split tokens over a placement.

use std::ptr;

use eplb_sys as sys;

use super::RawContext;
use crate::Result;
use crate::element::ExpertElement;
use crate::problem::to_c;

impl RawContext {
    /// `None`: the plan.
    pub(crate) fn split_prepare<T: ExpertElement>(
        &mut self,
        problem: &sys::eplb_problem,
        placement: Option<&[T]>,
    ) -> Result<()> {
        let (pointer, length) = placement.map_or((ptr::null(), 0), |experts| (experts.as_ptr(), to_c(experts.len())));
        // SAFETY: reads `length` elements of that type, and keeps a copy; nothing through a null pointer. The problem
        // has been through its init.
        self.call(|lib, context, error| unsafe {
            lib.eplb_split_prepare(context, problem, pointer.cast(), length, T::DTYPE, error)
        })
    }

    /// Over what was prepared.
    pub(crate) fn split(&mut self, options: &sys::eplb_split_options) -> Result<()> {
        // SAFETY: the options have been through their init; without a problem no placement is read.
        self.call(|lib, context, error| unsafe {
            lib.eplb_split(context, ptr::null(), ptr::null(), 0, 0, options, error)
        })
    }
}
