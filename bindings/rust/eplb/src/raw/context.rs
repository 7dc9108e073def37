//! One context of the library. Lengths are passed as they are: the library checks them against its shapes before it
//! touches the memory.

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use eplb_sys as sys;

use super::handle::{Handle, RawInterrupter};
use super::{Api, call};
use crate::cluster::Arrays;
use crate::device::{DeviceSlice, DeviceSliceMut, Stream};
use crate::element::{Element, ExpertElement, MapElement, WeightElement};
use crate::problem::{WeightShape, to_c};
use crate::{Error, Result};

/// Where `eplb_evaluate` writes what belongs to each layer.
pub(crate) struct LayerOutputs<'a> {
    pub(crate) imbalance: &'a mut [f64],
    pub(crate) bound: &'a mut [f64],
    pub(crate) duplicates: &'a mut [i64],
}

/// What `eplb_evaluate_windows` is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowFigure {
    Imbalance,
    Bound,
}

pub(crate) struct RawContext {
    handle: Arc<Handle>,
    /// Not Sync, and so it shall stay: a second call during a first is refused.
    one_thread_at_a_time: PhantomData<Cell<()>>,
}

impl RawContext {
    pub(crate) fn new(api: Arc<Api>, options: &sys::eplb_context_options) -> Result<Self> {
        let mut context = ptr::null_mut();
        // SAFETY: options has been through its init.
        call(|error| unsafe { api.functions.eplb_context_create(&raw mut context, options, error) })?;
        match NonNull::new(context) {
            Some(context) => {
                let handle = Arc::new(Handle { context, api });
                Ok(Self { handle, one_thread_at_a_time: PhantomData })
            }
            None => Err(Error::InternalError("eplb_context_create gave no context".into())),
        }
    }

    pub(crate) fn interrupter(&self) -> RawInterrupter {
        RawInterrupter::of(&self.handle)
    }

    pub(crate) fn api(&self) -> &Arc<Api> {
        &self.handle.api
    }

    /// Calls a function of the library with this context.
    pub(super) fn call(
        &self,
        function: impl FnOnce(&sys::Eplb, *mut sys::eplb_context, *mut sys::eplb_error) -> sys::eplb_status,
    ) -> Result<()> {
        call(|error| function(&self.api().functions, self.handle.context.as_ptr(), error))
    }

    pub(crate) fn synchronize(&self) -> Result<()> {
        // SAFETY: the handle is valid as long as self is; this holds of all calls below, too.
        self.call(|lib, context, error| unsafe { lib.eplb_context_synchronize(context, error) })
    }

    pub(crate) fn reserve<T: WeightElement>(
        &mut self,
        shape: WeightShape,
        problem: &sys::eplb_problem,
        options: &sys::eplb_solve_options,
    ) -> Result<()> {
        let [windows, layers, experts] = dims(shape);
        // SAFETY: both structs have been through their init.
        self.call(|lib, context, error| unsafe {
            lib.eplb_context_reserve(context, T::DTYPE, windows, layers, experts, problem, options, error)
        })
    }

    pub(crate) fn upload<T: WeightElement>(&mut self, weights: &[T], shape: WeightShape) -> Result<()> {
        let [windows, layers, experts] = dims(shape);
        let (pointer, length) = (weights.as_ptr().cast(), to_c(weights.len()));
        // SAFETY: reads `length` elements of that type, and keeps a copy.
        self.call(|lib, context, error| unsafe {
            lib.eplb_upload_weights(context, pointer, length, T::DTYPE, windows, layers, experts, error)
        })
    }

    /// `None` forgets it.
    pub(crate) fn upload_cluster(&mut self, cluster: Option<&Arrays<'_>>) -> Result<()> {
        let num_gpus = cluster.map_or(0, |arrays| arrays.num_gpus);
        let slots = pointer(cluster.and_then(|arrays| arrays.slots));
        let speeds = pointer(cluster.and_then(|arrays| arrays.speeds));
        let nodes = pointer(cluster.and_then(|arrays| arrays.nodes));
        // SAFETY: reads num_gpus elements of each array that is not null, and keeps copies.
        self.call(|lib, context, error| unsafe {
            lib.eplb_upload_cluster(context, slots, speeds, nodes, num_gpus, error)
        })
    }

    /// `None` forgets them.
    pub(crate) fn upload_prices(&mut self, prices: Option<&[f64]>, nodes: usize, columns: usize) -> Result<()> {
        let (pointer, length) = prices.map_or((ptr::null(), 0), |prices| (prices.as_ptr(), to_c(prices.len())));
        let (nodes, columns) = (to_c(nodes), to_c(columns));
        // SAFETY: reads `length` elements, and keeps a copy; nothing through a null pointer.
        self.call(|lib, context, error| unsafe {
            lib.eplb_upload_prices(context, pointer, length, nodes, columns, error)
        })
    }

    /// `None` forgets them.
    pub(crate) fn upload_window_weights(&mut self, weights: Option<&[f64]>) -> Result<()> {
        let (pointer, length) = weights.map_or((ptr::null(), 0), |weights| (weights.as_ptr(), to_c(weights.len())));
        // SAFETY: reads `length` elements, and keeps a copy; nothing through a null pointer.
        self.call(|lib, context, error| unsafe { lib.eplb_upload_window_weights(context, pointer, length, error) })
    }

    /// `None` forgets it.
    pub(crate) fn upload_placement<T: ExpertElement>(
        &mut self,
        placement: Option<&[T]>,
        layers: usize,
        slots: usize,
    ) -> Result<()> {
        let (pointer, length) = placement.map_or((ptr::null(), 0), |experts| (experts.as_ptr(), to_c(experts.len())));
        let (layers, slots) = (to_c(layers), to_c(slots));
        // SAFETY: reads `length` elements of that type, and keeps a copy; nothing through a null pointer.
        self.call(|lib, context, error| unsafe {
            lib.eplb_upload_placement(context, pointer.cast(), length, T::DTYPE, layers, slots, error)
        })
    }

    pub(crate) fn upload_device<T: WeightElement>(
        &mut self,
        weights: DeviceSlice<'_, T>,
        shape: WeightShape,
        stream: Stream<'_>,
    ) -> Result<()> {
        let [windows, layers, experts] = dims(shape);
        let (pointer, length) = (weights.as_ptr().cast(), to_c(weights.len()));
        // SAFETY: the caller that made the slice and the stream promised what the device needs of them.
        self.call(|lib, context, error| unsafe {
            let stream = stream.as_raw();
            lib.eplb_upload_weights_device(context, pointer, length, T::DTYPE, windows, layers, experts, stream, error)
        })
    }

    pub(crate) fn upload_placement_device<T: ExpertElement>(
        &mut self,
        placement: DeviceSlice<'_, T>,
        layers: usize,
        slots: usize,
        stream: Stream<'_>,
    ) -> Result<()> {
        let (pointer, length) = (placement.as_ptr().cast(), to_c(placement.len()));
        let (layers, slots) = (to_c(layers), to_c(slots));
        // SAFETY: the caller that made the slice and the stream promised what the device needs of them.
        self.call(|lib, context, error| unsafe {
            let stream = stream.as_raw();
            lib.eplb_upload_placement_device(context, pointer, length, T::DTYPE, layers, slots, stream, error)
        })
    }

    pub(crate) fn solve(&mut self, problem: &sys::eplb_problem, options: &sys::eplb_solve_options) -> Result<()> {
        // SAFETY: both structs have been through their init.
        self.call(|lib, context, error| unsafe { lib.eplb_solve(context, problem, options, error) })
    }

    pub(crate) fn solve_device(
        &mut self,
        problem: &sys::eplb_problem,
        options: &sys::eplb_solve_options,
        stream: Stream<'_>,
    ) -> Result<()> {
        // SAFETY: both structs have been through their init; the stream is as its maker promised.
        self.call(|lib, context, error| unsafe {
            lib.eplb_solve_device(context, problem, options, stream.as_raw(), error)
        })
    }

    /// Number of dimensions, and the dimensions.
    pub(crate) fn map_shape(&self, map: sys::eplb_map) -> Result<(i32, [i64; 4])> {
        let (mut rank, mut dims) = (0, [1; 4]);
        // SAFETY: writes one number, and four.
        self.call(|lib, context, error| unsafe {
            lib.eplb_map_shape(context, map, &raw mut rank, dims.as_mut_ptr(), 4, error)
        })?;
        Ok((rank, dims))
    }

    pub(crate) fn fetch_into<T: MapElement>(&self, map: sys::eplb_map, buffer: &mut [T]) -> Result<()> {
        // SAFETY: the buffer has `len` elements of that type, and any bits that C writes there are valid.
        unsafe { self.fetch(map, buffer.as_mut_ptr(), buffer.len()) }
    }

    /// A map of `length` elements, written once: into memory that nobody filled before.
    pub(crate) fn fetch_vec<T: MapElement>(&self, map: sys::eplb_map, length: usize) -> Result<Vec<T>> {
        let mut elements = Vec::with_capacity(length);
        let spare: &mut [MaybeUninit<T>] = elements.spare_capacity_mut();
        // SAFETY: there is room for `length` elements.
        unsafe { self.fetch(map, spare.as_mut_ptr().cast::<T>(), length) }?;
        // SAFETY: the library writes the whole map, which has `length` elements or the call would have failed.
        unsafe { elements.set_len(length) };
        Ok(elements)
    }

    /// # Safety
    ///
    /// `buffer` has room for `length` elements.
    unsafe fn fetch<T: Element>(&self, map: sys::eplb_map, buffer: *mut T, length: usize) -> Result<()> {
        let length = to_c(length);
        // SAFETY: writes `length` elements of that type, as the caller promises.
        self.call(|lib, context, error| unsafe {
            lib.eplb_fetch_map(context, map, T::DTYPE, buffer.cast(), length, error)
        })
    }

    pub(crate) fn fetch_device<T: MapElement>(
        &self,
        map: sys::eplb_map,
        buffer: &mut DeviceSliceMut<'_, T>,
        stream: Stream<'_>,
    ) -> Result<()> {
        let (pointer, length): (*mut c_void, i64) = (buffer.as_mut_ptr().cast(), to_c(buffer.len()));
        // SAFETY: the caller that made the slice and the stream promised what the device needs of them.
        self.call(|lib, context, error| unsafe {
            lib.eplb_fetch_map_device(context, map, T::DTYPE, pointer, length, stream.as_raw(), error)
        })
    }

    pub(crate) fn fingerprint(&self) -> Result<u64> {
        let mut value = 0;
        // SAFETY: writes one number.
        self.call(|lib, context, error| unsafe { lib.eplb_fingerprint(context, &raw mut value, error) })?;
        Ok(value)
    }

    pub(crate) fn report(&self) -> Result<sys::eplb_report> {
        let mut report = self.api().report;
        // SAFETY: the report has been through its init.
        self.call(|lib, context, error| unsafe { lib.eplb_fetch_report(context, &raw mut report, error) })?;
        Ok(report)
    }

    pub(crate) fn evaluate<T: ExpertElement>(
        &self,
        problem: &sys::eplb_problem,
        placement: &[T],
        layers: Option<LayerOutputs<'_>>,
    ) -> Result<sys::eplb_report> {
        let mut report = self.api().report;
        let (pointer, length) = (placement.as_ptr().cast(), to_c(placement.len()));
        let (imbalance, bound, duplicates, layers_length) = match layers {
            None => (ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0),
            Some(LayerOutputs { imbalance, bound, duplicates }) => {
                // All three share one length, so what is beyond the shortest is not theirs.
                let shared = imbalance.len().min(bound.len()).min(duplicates.len());
                (imbalance.as_mut_ptr(), bound.as_mut_ptr(), duplicates.as_mut_ptr(), to_c(shared))
            }
        };
        // SAFETY: reads the placement, of the given length; problem and report have been through their init; each
        // output that is not null has room for layers_length elements.
        self.call(|lib, context, error| unsafe {
            lib.eplb_evaluate(
                context,
                problem,
                pointer,
                length,
                T::DTYPE,
                &raw mut report,
                imbalance,
                bound,
                duplicates,
                layers_length,
                error,
            )
        })?;
        Ok(report)
    }

    /// Writes one figure of each window; `figures` has room for all of them.
    pub(crate) fn evaluate_windows<T: ExpertElement>(
        &self,
        problem: &sys::eplb_problem,
        placement: &[T],
        which: WindowFigure,
        figures: &mut [f64],
    ) -> Result<()> {
        let (pointer, length) = (placement.as_ptr().cast(), to_c(placement.len()));
        let (out, windows_length) = (figures.as_mut_ptr(), to_c(figures.len()));
        let (imbalance, bound) = match which {
            WindowFigure::Imbalance => (out, ptr::null_mut()),
            WindowFigure::Bound => (ptr::null_mut(), out),
        };
        // SAFETY: reads the placement, of the given length; the problem has been through its init; the output that is
        // not null has room for windows_length elements.
        self.call(|lib, context, error| unsafe {
            lib.eplb_evaluate_windows(
                context,
                problem,
                pointer,
                length,
                T::DTYPE,
                imbalance,
                bound,
                windows_length,
                error,
            )
        })
    }

    /// The way between two placements of one length: source, round and group of each slot, and the report of it.
    pub(crate) fn plan_transfers<T: ExpertElement>(
        &self,
        problem: &sys::eplb_problem,
        order: sys::eplb_transfer_order,
        current: &[T],
        placement: &[T],
    ) -> Result<([Vec<T>; 3], sys::eplb_report)> {
        let mut report = self.api().report;
        // What is beyond the shorter is not looked at, and the library says that the length is wrong.
        let length = current.len().min(placement.len());
        let mut maps = [Vec::with_capacity(length), Vec::with_capacity(length), Vec::with_capacity(length)];
        let [source, round, group] = maps.each_mut().map(|map: &mut Vec<T>| map.as_mut_ptr().cast());
        let (from, to) = (current.as_ptr().cast(), placement.as_ptr().cast());
        // SAFETY: reads two placements and has room for three maps, all of the given length; problem and report have
        // been through their init.
        self.call(|lib, context, error| unsafe {
            let (length, report) = (to_c(length), &raw mut report);
            lib.eplb_plan_transfers(
                context,
                problem,
                order,
                from,
                to,
                source,
                round,
                group,
                length,
                T::DTYPE,
                report,
                error,
            )
        })?;
        for map in &mut maps {
            // SAFETY: the library has written all of each map.
            unsafe { map.set_len(length) };
        }
        Ok((maps, report))
    }
}

fn dims(shape: WeightShape) -> [i64; 3] {
    [to_c(shape.windows), to_c(shape.layers), to_c(shape.experts)]
}

/// Null for an array that is not there.
fn pointer<T>(values: Option<&[T]>) -> *const T {
    values.map_or(ptr::null(), <[T]>::as_ptr)
}
