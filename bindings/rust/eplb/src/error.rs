//! What a call answers when it cannot do what it was asked.

use std::fmt;

pub use crate::constants_generated::Error;

/// The result of every call that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! errors {
    ($($(#[$doc:meta])* $variant:ident = $constant:ident,)*) => {
        /// A call failed. Each kind carries the library's sentence, which names the argument and the numbers.
        ///
        /// After an error, output buffers, the uploaded weights and the solved plan are as they were.
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
                    $(::eplb_sys::$constant => Self::$variant(text),)*
                    _ => Self::Other { code, text },
                }
            }

            /// The `eplb_status` of the header.
            #[must_use]
            pub fn code(&self) -> i32 {
                match self {
                    $(Self::$variant(_) => ::eplb_sys::$constant,)*
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

pub(crate) use errors;

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl std::error::Error for Error {}
