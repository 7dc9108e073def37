//! Tells which library is loaded and what it can do here.
//!
//! ```sh
//! cargo run --example info
//! ```

use std::process::ExitCode;

use eplb::{DeviceKind, Library};

fn main() -> ExitCode {
    let library = match Library::load() {
        Ok(library) => library,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let (major, minor) = library.abi_version();
    println!("libeplb {}, ABI {major}.{minor}, {}", library.version(), library.path().display());
    for &kind in DeviceKind::ALL {
        match library.backend(kind) {
            Ok(backend) => println!("{kind}: {}", backend.text),
            Err(error) => println!("{kind}: {error}"),
        }
    }
    ExitCode::SUCCESS
}
