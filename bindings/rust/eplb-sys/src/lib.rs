//! Raw bindings of libeplb's C API, loaded at run time.
//!
//! [`Eplb`] holds the looked-up functions of one loaded library. Everything here is generated from `include/eplb.h`,
//! whose comments are the documentation; the crate `eplb` is the safe face. The library is not needed to compile.
//!
//! ```no_run
//! # fn main() -> Result<(), libloading::Error> {
//! # use eplb_sys::{libloading, Eplb};
//! // SAFETY: the file is a libeplb, which runs nothing when it is loaded.
//! let library = unsafe { libloading::Library::new("libeplb.so.0")? };
//! // SAFETY: `eplb_abi_version` of every libeplb has this type.
//! let version = unsafe { library.get::<unsafe extern "C" fn() -> i32>("eplb_abi_version")?() };
//! assert_eq!(version >> 16, eplb_sys::ABI_MAJOR);
//! assert!(version & 0xffff >= eplb_sys::ABI_MINOR);
//! // SAFETY: a library of this ABI has every function with the type that the header gives it.
//! let functions = unsafe { Eplb::from_library(library)? };
//! # let _ = functions;
//! # Ok(())
//! # }
//! ```

pub use libloading;

/// The functions of the header: looked up once, and called as methods.
macro_rules! library {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($parameter:ident: $type:ty),* $(,)?) $(-> $result:ty)?;
    )*) => {
        /// The functions of one loaded library.
        pub struct Eplb {
            $(pub $name: unsafe extern "C" fn($($parameter: $type),*) $(-> $result)?,)*
            _library: ::libloading::Library,
        }

        impl Eplb {
            /// Loads a library.
            ///
            /// # Safety
            ///
            /// As `libloading::Library::new`, and as `from_library`.
            pub unsafe fn new<P: AsRef<::std::ffi::OsStr>>(path: P) -> Result<Self, ::libloading::Error> {
                // SAFETY: as the caller promises.
                unsafe { Self::from_library(::libloading::Library::new(path.as_ref())?) }
            }

            /// Looks every function up; a library that lacks one is refused.
            ///
            /// # Safety
            ///
            /// What has these names has the types that the header gives them.
            pub unsafe fn from_library<L: Into<::libloading::Library>>(library: L) -> Result<Self, ::libloading::Error> {
                let library = library.into();
                $(
                    // SAFETY: as the caller promises.
                    let $name = unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }.map(|symbol| *symbol)?;
                )*
                Ok(Self { $($name,)* _library: library })
            }

            $(
                $(#[$doc])*
                pub unsafe fn $name(&self, $($parameter: $type),*) $(-> $result)? {
                    // SAFETY: as the caller promises.
                    unsafe { (self.$name)($($parameter),*) }
                }
            )*
        }
    };
}

// The names are the header's, and its comments are plain text.
#[allow(
    missing_docs,
    missing_debug_implementations,
    non_camel_case_types,
    unsafe_code,
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    rustdoc::all
)]
#[rustfmt::skip]
mod bindings;

pub use bindings::*;

/// Major number of the ABI that these bindings were generated for: another major is another contract.
pub const ABI_MAJOR: i32 = 1;

/// Minor number of the ABI that these bindings were generated for: a library of a lower one lacks functions.
pub const ABI_MINOR: i32 = 2;
