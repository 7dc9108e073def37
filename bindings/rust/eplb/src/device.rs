//! Devices, and what lies on them.
//!
//! Host calls return finished. The `..._device` calls take device memory and a [`Stream`], are queued there and return
//! at once: they never synchronise, never allocate, and can be captured in a CUDA graph and replayed with new weights in
//! the same buffer. [`Context::reserve`](crate::Context::reserve) is what prepares them.
//!
//! Rust's borrows end when a call returns, but the device reads and writes later. So a caller that makes a [`DeviceSlice`], a
//! [`DeviceSliceMut`] or a [`Stream`] promises what no compiler can see; their constructors say what.
//!
//! ```no_run
//! use eplb::{Context, DeviceSlice, DeviceSliceMut, Map, Problem, Result, SolveOptions, Stream, WeightShape};
//!
//! /// Queues a solve of 58 layers of 256 experts.
//! ///
//! /// # Safety
//! ///
//! /// `weights` has 58 x 256 elements and `experts` 58 x 288, both on the context's device, where they stay as they are
//! /// until `context.synchronize()` has returned.
//! unsafe fn enqueue(context: &mut Context, weights: *const f32, experts: *mut i32) -> Result<()> {
//!     // SAFETY: as the caller promises.
//!     let (weights, mut experts) = unsafe {
//!         (DeviceSlice::from_raw_parts(weights, 58 * 256), DeviceSliceMut::from_raw_parts(experts, 58 * 288))
//!     };
//!     let (problem, stream) = (Problem::new(288, 32), Stream::default_stream());
//!     context.upload_device(weights, WeightShape::new(58, 256), stream)?;
//!     let plan = context.solve_device(&problem, &SolveOptions::new(), stream)?;
//!     plan.fetch_device(Map::PhysicalToLogical, &mut experts, stream)
//! }
//! ```
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ptr;
use std::str::FromStr;

use eplb_sys as sys;

use crate::{DeviceKind, Error};

/// Where a context works. The default is the CPU: CUDA is never used unasked.
///
/// Parsed from `cpu`, `cuda` and `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The processor that runs the program.
    #[default]
    Cpu,
    /// The CUDA device of this index, below [`Library::device_count`](crate::Library::device_count).
    Cuda(u32),
}

impl Device {
    /// What it is.
    #[must_use]
    pub const fn kind(self) -> DeviceKind {
        match self {
            Self::Cpu => DeviceKind::Cpu,
            Self::Cuda(_) => DeviceKind::Cuda,
        }
    }

    pub(crate) fn index(self) -> i32 {
        match self {
            Self::Cpu => 0,
            // Beyond every device; the library says so with its sentence.
            Self::Cuda(index) => i32::try_from(index).unwrap_or(i32::MAX),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.pad("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    /// By name, and an index after a colon.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for what is no device.
    fn from_str(name: &str) -> Result<Self, Error> {
        let (kind, index) = name.split_once(':').unwrap_or((name, "0"));
        match (kind, index.parse()) {
            ("cpu", Ok(0)) => Ok(Self::Cpu),
            ("cuda", Ok(index)) => Ok(Self::Cuda(index)),
            _ => Err(Error::InvalidArgument(format!("device is '{name}', must be one of cpu, cuda, or like 'cuda:1'"))),
        }
    }
}

/// What a context is made of. What is not set is the library's default: the CPU, one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContextOptions {
    device: Option<Device>,
    num_threads: Option<usize>,
}

impl ContextOptions {
    /// The library's defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { device: None, num_threads: None }
    }

    /// Where it works.
    #[must_use]
    pub const fn device(self, device: Device) -> Self {
        Self { device: Some(device), ..self }
    }

    /// CPU threads of a solve, the caller's included. Any number gives the same answer.
    #[must_use]
    pub const fn num_threads(self, num_threads: usize) -> Self {
        Self { num_threads: Some(num_threads), ..self }
    }

    pub(crate) fn over(&self, defaults: &sys::eplb_context_options) -> sys::eplb_context_options {
        sys::eplb_context_options {
            device_kind: self.device.map_or(defaults.device_kind, |device| device.kind().as_raw()),
            device_index: self.device.map_or(defaults.device_index, Device::index),
            num_threads: self.num_threads.map_or(defaults.num_threads, crate::problem::to_c),
            ..*defaults
        }
    }
}

/// A CUDA stream: the order in which `..._device` calls are done.
///
/// The library adds no order between streams.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    raw: *mut c_void,
    owner: PhantomData<&'a ()>,
}

impl Stream<'static> {
    /// The default stream.
    #[must_use]
    pub const fn default_stream() -> Self {
        Self { raw: ptr::null_mut(), owner: PhantomData }
    }
}

impl Stream<'_> {
    /// A stream that the caller made.
    ///
    /// # Safety
    ///
    /// `raw` is a `cudaStream_t` or `CUstream` of the context's device. It is not destroyed before the context is, or
    /// before the context's [`synchronize`](crate::Context::synchronize) has returned after the last call on it.
    #[must_use]
    pub const unsafe fn from_raw(raw: *mut c_void) -> Self {
        Self { raw, owner: PhantomData }
    }

    /// The `cudaStream_t`; null for the default stream.
    #[must_use]
    pub const fn as_raw(self) -> *mut c_void {
        self.raw
    }
}

/// Elements in device memory that are read.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSlice<'a, T> {
    pointer: *const T,
    len: usize,
    owner: PhantomData<&'a [T]>,
}

impl<T> DeviceSlice<'_, T> {
    /// `len` elements from `pointer` on.
    ///
    /// # Safety
    ///
    /// - `pointer` is aligned device memory that the context's device can read, of at least `len` elements.
    /// - It stays allocated, and nothing writes it, until the stream has done what was queued with this slice; that may
    ///   be long after `'a` and after the call have ended. If the call is captured in a graph, that is every replay.
    /// - Host memory, page-locked or not, is none of this.
    #[must_use]
    pub const unsafe fn from_raw_parts(pointer: *const T, len: usize) -> Self {
        Self { pointer, len, owner: PhantomData }
    }

    /// The first element, on the device.
    #[must_use]
    pub const fn as_ptr(&self) -> *const T {
        self.pointer
    }

    /// Number of elements, not bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Elements in device memory that are written.
#[derive(Debug)]
pub struct DeviceSliceMut<'a, T> {
    pointer: *mut T,
    len: usize,
    owner: PhantomData<&'a mut [T]>,
}

impl<T> DeviceSliceMut<'_, T> {
    /// `len` elements from `pointer` on.
    ///
    /// # Safety
    ///
    /// As [`DeviceSlice::from_raw_parts`], and: the device can write it, and nothing else reads or writes it until the
    /// stream has done what was queued with this slice.
    #[must_use]
    pub const unsafe fn from_raw_parts(pointer: *mut T, len: usize) -> Self {
        Self { pointer, len, owner: PhantomData }
    }

    /// The first element, on the device.
    #[must_use]
    pub const fn as_mut_ptr(&self) -> *mut T {
        self.pointer
    }

    /// Number of elements, not bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}
