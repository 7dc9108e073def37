//! A libeplb whose CUDA is emulated on the host, and that CUDA: it is exported, so memory and streams are had from the same.
#![allow(unsafe_code)]

pub mod splits;

use std::env;
use std::ffi::{CString, OsString, c_char, c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::ptr;

use eplb::{Context, ContextOptions, Device, DeviceSlice, DeviceSliceMut, Library, Stream};

/// Names the library; tests/emulated of the repository builds it.
pub const ENVIRONMENT: &str = "EPLB_EMULATED_LIBRARY";

macro_rules! cuda {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) -> $answer:ty;)*) => {
        /// What the tests call of CUDA's runtime, and of tools/emulated_cuda/emulation.h.
        struct Cuda {
            $($field: unsafe extern "C" fn($($argument),*) -> $answer,)*
            // The functions are there as long as it is.
            _loaded: libloading::Library,
        }

        impl Cuda {
            fn load(path: &OsString) -> Result<Self, libloading::Error> {
                // SAFETY: to load it twice, as eplb does, too, runs nothing; the types are those of the headers.
                unsafe {
                    let loaded = libloading::Library::new(path)?;
                    Ok(Self { $($field: *loaded.get($symbol)?,)* _loaded: loaded })
                }
            }
        }
    };
}

cuda! {
    malloc = "cudaMalloc": fn(*mut *mut c_void, usize) -> c_int;
    free = "cudaFree": fn(*mut c_void) -> c_int;
    copy = "cudaMemcpy": fn(*mut c_void, *const c_void, usize, c_int) -> c_int;
    create_stream = "cudaStreamCreateWithFlags": fn(*mut *mut c_void, c_uint) -> c_int;
    destroy_stream = "cudaStreamDestroy": fn(*mut c_void) -> c_int;
    set_progress = "emulation_set_progress": fn(i32) -> ();
    count = "emulation_count": fn(*const c_char) -> i64;
}

const HOST_TO_DEVICE: c_int = 1;
const DEVICE_TO_HOST: c_int = 2;
const NON_BLOCKING: c_uint = 1;

fn done(what: &str, status: c_int) {
    assert_eq!(status, 0, "{what}");
}

pub struct Emulation {
    pub library: Library,
    cuda: Cuda,
}

impl Emulation {
    /// The one that the environment names. What it names and cannot be loaded is a failure.
    pub fn named() -> Option<Self> {
        let path = env::var_os(ENVIRONMENT)?;
        let library = Library::load_from(&path).unwrap_or_else(|error| panic!("{error}"));
        let cuda = Cuda::load(&path).unwrap_or_else(|error| panic!("{error}"));
        // SAFETY: it takes any number.
        unsafe { (cuda.set_progress)(0) }; // Streams go on only when somebody waits.
        Some(Self { library, cuda })
    }

    pub fn context(&self, device: Device) -> eplb::Result<Context> {
        Context::new(&self.library, &ContextOptions::new().device(device))
    }

    /// A number of emulation.h.
    pub fn count(&self, name: &str) -> i64 {
        let terminated = CString::new(name).expect("names have no zeros");
        // SAFETY: it reads the name.
        let count = unsafe { (self.cuda.count)(terminated.as_ptr()) };
        assert!(count >= 0, "there is no count of {name}");
        count
    }

    /// What has waited for a device, and what has got memory of it.
    pub fn waits_and_allocations(&self) -> (i64, i64) {
        (self.count("synchronisations"), self.count("allocations"))
    }

    pub fn stream(&self) -> OwnStream<'_> {
        let mut raw = ptr::null_mut();
        // SAFETY: it writes the stream.
        done("cudaStreamCreateWithFlags", unsafe { (self.cuda.create_stream)(&raw mut raw, NON_BLOCKING) });
        OwnStream { emulation: self, raw }
    }

    /// Device memory with rubbish in it.
    pub fn room<T: Copy>(&self, len: usize) -> DeviceVec<'_, T> {
        let mut pointer = ptr::null_mut();
        // SAFETY: it writes the pointer.
        done("cudaMalloc", unsafe { (self.cuda.malloc)(&raw mut pointer, len * size_of::<T>()) });
        DeviceVec { emulation: self, pointer, len, elements: PhantomData }
    }

    pub fn put<T: Copy>(&self, values: &[T]) -> DeviceVec<'_, T> {
        let room = self.room(values.len());
        // SAFETY: there is room for all of them.
        let status =
            unsafe { (self.cuda.copy)(room.pointer, values.as_ptr().cast(), size_of_val(values), HOST_TO_DEVICE) };
        done("cudaMemcpy", status);
        room
    }
}

/// A stream of device 0.
pub struct OwnStream<'a> {
    emulation: &'a Emulation,
    raw: *mut c_void,
}

impl OwnStream<'_> {
    /// Tests drop their contexts before their streams.
    pub fn get(&self) -> Stream<'_> {
        // SAFETY: it is a stream of the device, and there until self is dropped.
        unsafe { Stream::from_raw(self.raw) }
    }
}

impl Drop for OwnStream<'_> {
    fn drop(&mut self) {
        // SAFETY: it was created, and is destroyed once.
        done("cudaStreamDestroy", unsafe { (self.emulation.cuda.destroy_stream)(self.raw) });
    }
}

/// Memory of device 0.
pub struct DeviceVec<'a, T> {
    emulation: &'a Emulation,
    pointer: *mut c_void,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Copy + Default> DeviceVec<'_, T> {
    /// Tests keep it until they have synchronized.
    pub fn slice(&self) -> DeviceSlice<'_, T> {
        // SAFETY: it is so much memory of the device, and there until self is dropped.
        unsafe { DeviceSlice::from_raw_parts(self.pointer.cast(), self.len) }
    }

    /// Tests keep it until they have synchronized, and read it only then.
    pub fn slice_mut(&mut self) -> DeviceSliceMut<'_, T> {
        // SAFETY: it is so much memory of the device, and there until self is dropped; &mut says that nobody else has it.
        unsafe { DeviceSliceMut::from_raw_parts(self.pointer.cast(), self.len) }
    }

    /// What is there now: streams of the tests are not waited for.
    pub fn read(&self) -> Vec<T> {
        let mut values = vec![T::default(); self.len];
        let bytes = size_of_val(values.as_slice());
        // SAFETY: it reads and writes `bytes` bytes.
        let status = unsafe {
            (self.emulation.cuda.copy)(values.as_mut_ptr().cast(), self.pointer.cast_const(), bytes, DEVICE_TO_HOST)
        };
        done("cudaMemcpy", status);
        values
    }
}

impl<T> Drop for DeviceVec<'_, T> {
    fn drop(&mut self) {
        // SAFETY: it was allocated, and is freed once.
        done("cudaFree", unsafe { (self.emulation.cuda.free)(self.pointer) });
    }
}
