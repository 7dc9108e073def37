//! Finds and loads the library, and tells what it can do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eplb_sys as sys;

use crate::load_error::{ENVIRONMENT, FILE};
use crate::raw::{Api, is_privileged};
use crate::{Attempt, Device, DeviceKind, Error, LoadError, NamedBy, Refusal, Result};

/// The loaded library. Cloning is cheap; contexts keep it loaded.
///
/// All its functions may be called from any thread at any time.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let library = eplb::Library::load()?;
/// println!("libeplb {} from {}", library.version(), library.path().display());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Library {
    api: Arc<Api>,
    path: Arc<Path>,
}

impl Library {
    /// Loads the library that the environment variable `EPLB_LIBRARY` names, and if it names none, the first of:
    /// `libeplb.so.0` next to the program, the system's `libeplb.so.0` (`LD_LIBRARY_PATH`, `ldconfig`), and
    /// `/usr/local/lib/libeplb.so.0`.
    ///
    /// Its ABI version is asked for before anything else. Whatever is named is trusted: loading a library runs it. So a
    /// program that has more rights than its caller, as it is setuid or setgid or its file has capabilities, refuses
    /// `EPLB_LIBRARY` and does not look next to itself; the system then ignores `LD_LIBRARY_PATH`.
    ///
    /// # Errors
    ///
    /// [`LoadError`] with every place that was tried and what was wrong there.
    pub fn load() -> Result<Self, LoadError> {
        match std::env::var_os(ENVIRONMENT) {
            Some(path) => Self::first_of(NamedBy::Environment, vec![Place::of_caller(path.into())]),
            None => Self::first_of(NamedBy::Nobody, usual_places()),
        }
    }

    /// Loads the library at this path and no other; one without a folder is searched for by the system.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_from(path: impl Into<PathBuf>) -> Result<Self, LoadError> {
        Self::first_of(NamedBy::Program, vec![Place::fixed(path.into())])
    }

    fn first_of(named_by: NamedBy, places: Vec<Place>) -> Result<Self, LoadError> {
        let (is_privileged, mut tried) = (is_privileged(), Vec::new());
        for Place { path, is_of_caller } in places {
            let opened = if is_privileged && is_of_caller { Err(Refusal::NotTrusted) } else { open(&path) };
            match opened {
                Ok(api) => return Ok(Self { api: Arc::new(api), path: path.into() }),
                Err(refusal) => tried.push(Attempt { path, refusal }),
            }
        }
        Err(LoadError { named_by, tried })
    }

    pub(crate) fn api(&self) -> &Arc<Api> {
        &self.api
    }

    /// What it was loaded as: a path, or a name that the system found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version, like "0.1.0".
    #[must_use]
    pub fn version(&self) -> &str {
        self.api.version()
    }

    /// Its ABI version, major and minor; it has been checked.
    #[must_use]
    pub fn abi_version(&self) -> (u32, u32) {
        self.api.abi_version()
    }

    /// What a backend is and can do on this machine. The first call for CUDA looks for a driver.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let library = eplb::Library::load()?;
    /// let cuda = library.backend(eplb::DeviceKind::Cuda)?;
    /// match cuda.usable {
    ///     Ok(()) => println!("{} CUDA devices", cuda.num_devices),
    ///     Err(why) => println!("no CUDA: {why}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a kind that this library does not know.
    pub fn backend(&self, kind: DeviceKind) -> Result<Backend> {
        let (backend, text) = self.api.backend_info(kind.as_raw())?;
        Ok(Backend::from_c(&backend, text))
    }

    /// Number of devices of a kind: 1 for the CPU.
    ///
    /// # Errors
    ///
    /// [`Error::NotBuilt`] or [`Error::NoDriver`] if there can be none.
    pub fn device_count(&self, kind: DeviceKind) -> Result<usize> {
        // Never negative.
        self.api.device_count(kind.as_raw()).map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// Name of a device.
    ///
    /// # Errors
    ///
    /// As [`device_count`](Self::device_count), and [`Error::NoDevice`] if there is no such device.
    pub fn device_name(&self, device: Device) -> Result<String> {
        self.api.device_name(device.kind().as_raw(), device.index())
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Library")
            .field("path", &self.path)
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

/// Where the library may be.
struct Place {
    path: PathBuf,
    /// Whether who starts the program can choose what is there.
    is_of_caller: bool,
}

impl Place {
    fn of_caller(path: PathBuf) -> Self {
        Self { path, is_of_caller: true }
    }

    fn fixed(path: PathBuf) -> Self {
        Self { path, is_of_caller: false }
    }
}

fn usual_places() -> Vec<Place> {
    let program = std::env::current_exe().ok();
    // Permissions of the folder do not show everybody who can write there, and a hard link puts the program into any.
    let next_to_program = program.and_then(|program| Some(Place::of_caller(program.parent()?.join(FILE))));
    // /usr/local/lib once more by path: there CMake installs, and ldconfig is easily forgotten after that.
    let system = [PathBuf::from(FILE), Path::new("/usr/local/lib").join(FILE)].map(Place::fixed);
    next_to_program.into_iter().chain(system).collect()
}

fn open(path: &Path) -> Result<Api, Refusal> {
    let mut components = path.components();
    // The system takes an empty name for the program itself.
    if components.next().is_none() {
        return Err(Refusal::EmptyName);
    }
    // A name without a folder is searched for; anything else must be there.
    if (path.is_absolute() || components.next().is_some()) && !path.is_file() {
        return Err(Refusal::NoSuchFile);
    }
    Api::open(path)
}

/// What a backend is and can do on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backend {
    /// The library has code for it.
    pub built: bool,
    /// Whether a context can be created on it, and if not, why not: [`Error::NotBuilt`], [`Error::NoDriver`],
    /// [`Error::NoDevice`].
    pub usable: Result<()>,
    /// One sentence: why it can be used or why not; for the CPU, the instruction set in use.
    pub text: String,
    /// Devices that there are.
    pub num_devices: usize,
    /// The driver that was found, 1000 * major + 10 * minor, as CUDA counts; 0 for none found, or none needed.
    pub driver_version: i32,
    /// The least driver that the library works with, counted so, too; 0 for none needed.
    pub driver_needed: i32,
    /// The CUDA runtime inside the library, counted so, too; 0 for none.
    pub runtime_version: i32,
}

impl Backend {
    fn from_c(backend: &sys::eplb_backend, text: String) -> Self {
        let usable = match backend.status {
            sys::EPLB_OK => Ok(()),
            code => Err(Error::new(code, text.clone())),
        };
        Self {
            built: backend.built != 0,
            usable,
            text,
            num_devices: usize::try_from(backend.num_devices).unwrap_or(0),
            driver_version: backend.driver_version,
            driver_needed: backend.driver_needed,
            runtime_version: backend.runtime_version,
        }
    }
}
