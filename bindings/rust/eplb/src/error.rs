//! What a call answers when it cannot do what it was asked.

use std::fmt;

use eplb_sys as sys;

/// The result of every call that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $constant:ident,)*) => {
        /// A call failed. Each kind carries the library's sentence, which names the argument and the numbers.
        ///
        /// After an error, output buffers, the uploaded weights and the solved placement are as they were.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* $variant(String),)*
            /// A kind that only a later library knows.
            Other {
                /// The `eplb_status`.
                code: i32,
                /// The library's sentence.
                text: String,
            },
        }

        impl Error {
            pub(crate) fn new(code: i32, text: String) -> Self {
                match code {
                    $(sys::$constant => Self::$variant(text),)*
                    _ => Self::Other { code, text },
                }
            }

            /// The `eplb_status` of the header.
            #[must_use]
            pub fn code(&self) -> i32 {
                match self {
                    $(Self::$variant(_) => sys::$constant,)*
                    Self::Other { code, .. } => *code,
                }
            }

            /// Name of that status, like `EPLB_INVALID_WEIGHT`; `unknown status` for one of a later library.
            #[must_use]
            pub fn status_name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($constant),)*
                    Self::Other { .. } => "unknown status",
                }
            }

            /// The library's sentence, as it is displayed.
            #[must_use]
            pub fn text(&self) -> &str {
                match self {
                    $(Self::$variant(text) => text,)*
                    Self::Other { text, .. } => text,
                }
            }
        }
    };
}

errors! {
    /// The caller's: a shape, size or constant that cannot be.
    InvalidArgument = EPLB_INVALID_ARGUMENT,
    /// The caller's: the wrong order of calls, or a context after fork.
    InvalidState = EPLB_INVALID_STATE,
    /// The data's: NaN, infinite, negative, or a sum that is out of range; names layer and expert.
    InvalidWeight = EPLB_INVALID_WEIGHT,
    /// The data's: what was evaluated is no placement; names the rule and the layer, slot or expert.
    InvalidPlacement = EPLB_INVALID_PLACEMENT,
    /// This version has no such strategy or option; a later one may.
    Unavailable = EPLB_UNAVAILABLE,
    /// The library was built without that backend.
    NotBuilt = EPLB_NOT_BUILT,
    /// No driver for that backend, or one that is too old.
    NoDriver = EPLB_NO_DRIVER,
    /// A driver, but no such device.
    NoDevice = EPLB_NO_DEVICE,
    /// Host memory ran out.
    OutOfMemory = EPLB_OUT_OF_MEMORY,
    /// Device memory ran out.
    DeviceOutOfMemory = EPLB_DEVICE_OUT_OF_MEMORY,
    /// The device or its driver failed; carries its own words.
    DeviceError = EPLB_DEVICE_ERROR,
    /// A bug in libeplb: please report it with the text.
    InternalError = EPLB_INTERNAL_ERROR,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for Error {}
