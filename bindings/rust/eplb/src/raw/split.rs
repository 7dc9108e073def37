//! Calls that split tokens over a placement, and that give slots of it to ranks.

use std::ptr;

use eplb_sys as sys;

use super::RawContext;
use crate::Result;
use crate::device::{DeviceSlice, Stream};
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

    /// Over what was prepared.
    pub(crate) fn static_dispatch(&mut self, options: &sys::eplb_static_dispatch_options) -> Result<()> {
        // SAFETY: the options have been through their init; without a problem no placement is read.
        self.call(|lib, context, error| unsafe {
            lib.eplb_static_dispatch(context, ptr::null(), ptr::null(), 0, 0, options, error)
        })
    }

    /// `None`: the plan.
    pub(crate) fn static_dispatch_over<T: ExpertElement>(
        &mut self,
        problem: &sys::eplb_problem,
        placement: Option<&[T]>,
        options: &sys::eplb_static_dispatch_options,
    ) -> Result<()> {
        let (pointer, length) = placement.map_or((ptr::null(), 0), |experts| (experts.as_ptr(), to_c(experts.len())));
        // SAFETY: reads `length` elements of that type, and keeps a copy; nothing through a null pointer. The problem
        // and the options have been through their init.
        self.call(|lib, context, error| unsafe {
            lib.eplb_static_dispatch(context, problem, pointer.cast(), length, T::DTYPE, options, error)
        })
    }

    /// `None`: the plan.
    pub(crate) fn split_prepare_device<T: ExpertElement>(
        &mut self,
        problem: &sys::eplb_problem,
        placement: Option<DeviceSlice<'_, T>>,
        stream: Stream<'_>,
    ) -> Result<()> {
        let (pointer, length) = placement.map_or((ptr::null(), 0), |experts| (experts.as_ptr(), to_c(experts.len())));
        // SAFETY: the caller that made the slice and the stream promised what the device needs of them; nothing is read
        // through a null pointer. The problem has been through its init.
        self.call(|lib, context, error| unsafe {
            let stream = stream.as_raw();
            lib.eplb_split_prepare_device(context, problem, pointer.cast(), length, T::DTYPE, stream, error)
        })
    }

    /// Over what was prepared.
    pub(crate) fn split_device(&mut self, options: &sys::eplb_split_options, stream: Stream<'_>) -> Result<()> {
        // SAFETY: the options have been through their init, the stream is as its maker promised; without a problem no
        // placement is read.
        self.call(|lib, context, error| unsafe {
            lib.eplb_split_device(context, ptr::null(), ptr::null(), 0, 0, options, stream.as_raw(), error)
        })
    }
}
