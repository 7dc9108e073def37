//! The form of the header's constants: enums that a later library can extend. `constants_generated` has them.

/// An enum over values that come from the library, so it must be able to hold one that this crate does not know.
macro_rules! open_enum {
    (
        $(#[$doc:meta])*
        $name:ident, $argument:literal, {
            $($(#[$variant_doc:meta])* $variant:ident = $constant:ident $text:literal,)*
        }
    ) => {
        $(#[$doc])*
        ///
        /// Parsed from and displayed as the names that `eplb solve` takes, too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A value that only a later library knows; made by `from_raw`.
            Other(i32),
        }

        impl $name {
            /// All that this crate knows, in the order of their values.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// From the header's constant.
            #[must_use]
            pub const fn from_raw(value: i32) -> Self {
                match value {
                    $(::eplb_sys::$constant => Self::$variant,)*
                    _ => Self::Other(value),
                }
            }

            /// The header's constant.
            #[must_use]
            pub const fn as_raw(self) -> i32 {
                match self {
                    $(Self::$variant => ::eplb_sys::$constant,)*
                    Self::Other(value) => value,
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    $(Self::$variant => formatter.pad($text),)*
                    Self::Other(value) => value.fmt(formatter),
                }
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::Error;

            /// By name, in upper or lower case.
            ///
            /// # Errors
            ///
            /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) with all names.
            fn from_str(name: &str) -> Result<Self, $crate::Error> {
                match name.to_ascii_lowercase().as_str() {
                    $($text => Ok(Self::$variant),)*
                    _ => {
                        let names = [$($text,)*].join(", ");
                        Err($crate::Error::InvalidArgument(format!("{} is '{name}', must be one of {names}", $argument)))
                    }
                }
            }
        }
    };
}

pub(crate) use open_enum;
