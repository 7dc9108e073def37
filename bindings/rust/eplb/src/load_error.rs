//! Why there is no library that can be used.

use std::fmt;
use std::path::PathBuf;

use eplb_sys as sys;

/// The environment variable that names the library; if it is set, no other place is looked at.
pub const ENVIRONMENT: &str = "EPLB_LIBRARY";

/// The library's file name, which carries the major number of its ABI.
pub const FILE: &str = "libeplb.so.0";

/// No usable library: lists every place that was tried and what was wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadError {
    /// Who said where to look.
    pub named_by: NamedBy,
    /// What was tried, in that order.
    pub tried: Vec<Attempt>,
}

/// Who said where to look for the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NamedBy {
    /// The program, by [`Library::load_from`](crate::Library::load_from).
    Program,
    /// The environment, by `EPLB_LIBRARY`.
    Environment,
    /// Nobody: the usual places.
    Nobody,
}

/// One place, and why the library there cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// A path, or a name that the system searches for.
    pub path: PathBuf,
    /// What was wrong.
    pub refusal: Refusal,
}

/// Why a library cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Its name is empty.
    EmptyName,
    /// It is the choice of who started the program, which has more rights than that: it is setuid or setgid, or its file
    /// has capabilities.
    NotTrusted,
    /// There is no such file.
    NoSuchFile,
    /// The system cannot load it; carries its own words.
    NotLoadable(String),
    /// It has no `eplb_abi_version`, so it is another library.
    NotEplb,
    /// Its ABI is another major version, or a minor one that is too old.
    AbiVersion {
        /// Another contract, if it differs.
        major: u32,
        /// Later ones only add.
        minor: u32,
    },
    /// It lacks a function of its own ABI version; carries the loader's words, which name it.
    MissingFunction(String),
    /// It does not take this crate's structs; carries its sentence.
    Structs(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed_major, needed_minor) = (sys::ABI_MAJOR, sys::ABI_MINOR);
        match self {
            Self::EmptyName => formatter.write_str("it is empty"),
            Self::NotTrusted => formatter.write_str(
                "the program has more rights than its caller (setuid, setgid or capabilities of its file), who must not \
                 choose what it runs: give Library::load_from a path, or install libeplb where the system looks",
            ),
            Self::NoSuchFile => formatter.write_str("there is no such file"),
            Self::NotLoadable(text) => formatter.write_str(text),
            Self::NotEplb => formatter.write_str("it has no eplb_abi_version: this is no libeplb"),
            Self::AbiVersion { major, minor } => write!(
                formatter,
                "its ABI is {major}.{minor}, but this crate needs {needed_major}.{needed_minor} or a later \
                 {needed_major}.x"
            ),
            Self::MissingFunction(text) => {
                write!(formatter, "it lacks a function of ABI {needed_major}.{needed_minor}: {text}")
            }
            Self::Structs(text) => write!(formatter, "it does not take the structs of this crate: {text}"),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("eplb cannot load the library")?;
        if self.named_by == NamedBy::Environment {
            write!(formatter, " named by {ENVIRONMENT}")?;
        }
        formatter.write_str(". Tried:")?;
        for Attempt { path, refusal } in &self.tried {
            write!(formatter, "\n  '{}': {refusal}", path.display())?;
        }
        let is_trusted = self.tried.iter().all(|attempt| attempt.refusal != Refusal::NotTrusted);
        if self.named_by == NamedBy::Nobody && is_trusted {
            write!(formatter, "\nSet {ENVIRONMENT} to the path of {FILE}, or install libeplb.")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}
