//! One loaded library: its functions, checked to be the ones that this crate was written for.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::path::Path;

use eplb_sys as sys;
use eplb_sys::libloading;

use super::{call, static_text, text_of};
use crate::problem::to_c;
use crate::{Refusal, Result};

type Init<T> = unsafe extern "C" fn(*mut T, i64, *mut sys::eplb_error) -> sys::eplb_status;

/// The functions of a loaded library and the defaults that its `_init` functions gave.
pub(crate) struct Api {
    pub(super) functions: sys::Eplb,
    pub(crate) problem: sys::eplb_problem,
    pub(crate) solve_options: sys::eplb_solve_options,
    pub(crate) split_options: sys::eplb_split_options,
    pub(crate) static_dispatch_options: sys::eplb_static_dispatch_options,
    pub(crate) context_options: sys::eplb_context_options,
    pub(super) report: sys::eplb_report,
    backend: sys::eplb_backend,
}

impl Api {
    /// Loads the library at `path`, or by the system's search if that has no folder.
    pub(crate) fn open(path: &Path) -> Result<Self, Refusal> {
        // SAFETY: the caller that names the file vouches for what it runs when it is loaded; libeplb runs nothing.
        let library = unsafe { open(path) }.map_err(|error| Refusal::NotLoadable(explain(&error)))?;
        check_version(&library)?;
        // SAFETY: what has eplb_abi_version of this major number has these functions with the types of the header.
        let functions =
            unsafe { sys::Eplb::from_library(library) }.map_err(|error| Refusal::MissingFunction(explain(&error)))?;
        Self::with_defaults(functions).map_err(|error| Refusal::Structs(error.to_string()))
    }

    /// Structs that the library does not take are found here, and not by a solve.
    fn with_defaults(functions: sys::Eplb) -> Result<Self> {
        // SAFETY: each struct is given to its own init function.
        unsafe {
            Ok(Self {
                problem: initialized(functions.eplb_problem_init)?,
                solve_options: initialized(functions.eplb_solve_options_init)?,
                split_options: initialized(functions.eplb_split_options_init)?,
                static_dispatch_options: initialized(functions.eplb_static_dispatch_options_init)?,
                context_options: initialized(functions.eplb_context_options_init)?,
                report: initialized(functions.eplb_report_init)?,
                backend: initialized(functions.eplb_backend_init)?,
                functions,
            })
        }
    }

    pub(crate) fn abi_version(&self) -> (u32, u32) {
        // SAFETY: takes nothing and cannot fail.
        split(unsafe { self.functions.eplb_abi_version() })
    }

    pub(crate) fn version(&self) -> &str {
        // SAFETY: the library's text is static, and the library is loaded as long as self is.
        unsafe { static_text(self.functions.eplb_version_string()) }
    }

    /// What a backend is, and the sentence that says why it can be used, or not.
    pub(crate) fn backend_info(&self, kind: sys::eplb_device_kind) -> Result<(sys::eplb_backend, String)> {
        let mut backend = self.backend;
        let mut text: [c_char; 256] = [0; 256];
        // SAFETY: backend has been through its init; the text is as long as is said.
        call(|error| unsafe {
            self.functions.eplb_backend_info(kind, &raw mut backend, text.as_mut_ptr(), 256, error)
        })?;
        Ok((backend, text_of(&text)))
    }

    pub(crate) fn device_count(&self, kind: sys::eplb_device_kind) -> Result<i32> {
        let mut count = 0;
        // SAFETY: writes one number.
        call(|error| unsafe { self.functions.eplb_device_count(kind, &raw mut count, error) })?;
        Ok(count)
    }

    pub(crate) fn device_name(&self, kind: sys::eplb_device_kind, index: i32) -> Result<String> {
        let mut name: [c_char; 128] = [0; 128];
        // SAFETY: the name is as long as is said.
        call(|error| unsafe { self.functions.eplb_device_name(kind, index, name.as_mut_ptr(), 128, error) })?;
        Ok(text_of(&name))
    }
}

/// # Safety
///
/// `T` is a struct of the header, so integers and floats only, and `init` the function that fills it.
unsafe fn initialized<T>(init: Init<T>) -> Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: init writes at most size_of::<T>() bytes; as the caller promises.
    call(|error| unsafe { init(value.as_mut_ptr(), to_c(size_of::<T>()), error) })?;
    // SAFETY: integers and floats are valid when zero, and are written now.
    Ok(unsafe { value.assume_init() })
}

/// # Safety
///
/// Runs the initializers of that library, which the caller vouches for.
#[cfg(unix)]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // Now: a library that itself lacks something is refused here, and not in the middle of a solve.
    // SAFETY: as the caller promises.
    Ok(unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }?.into())
}

/// # Safety
///
/// Runs the initializers of that library, which the caller vouches for.
#[cfg(not(unix))]
unsafe fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: as the caller promises.
    unsafe { libloading::Library::new(path) }
}

fn check_version(library: &libloading::Library) -> Result<(), Refusal> {
    // SAFETY: no other library is likely to have a function of this name, and ours have had it since 1.0.
    let function = unsafe { library.get::<unsafe extern "C" fn() -> i32>("eplb_abi_version") };
    let Ok(function) = function else { return Err(Refusal::NotEplb) };
    // SAFETY: takes nothing and cannot fail.
    let (major, minor) = split(unsafe { function() });
    if i64::from(major) == i64::from(sys::ABI_MAJOR) && i64::from(minor) >= i64::from(sys::ABI_MINOR) {
        Ok(())
    } else {
        Err(Refusal::AbiVersion { major, minor })
    }
}

fn split(version: i32) -> (u32, u32) {
    let version = version.cast_unsigned();
    (version >> 16, version & 0xffff)
}

/// The system's own words where it has some: libloading keeps them in the source of its error.
fn explain(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
