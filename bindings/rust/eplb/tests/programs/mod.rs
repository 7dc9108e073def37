//! The examples, which `cargo test` builds.
#![allow(dead_code, reason = "each test uses what it needs")]

use std::path::PathBuf;
use std::process::Command;

/// An example that is ready to run.
pub fn example(name: &str) -> Command {
    let mut path = std::env::current_exe().expect("this test is a file");
    path.pop();
    path.pop();
    path.extend(["examples", name]);
    assert!(path.is_file(), "{} is not built: cargo test builds it, cargo test --test does not", path.display());
    Command::new(path)
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}
