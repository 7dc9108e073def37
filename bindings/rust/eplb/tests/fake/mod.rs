//! Libraries that are only what a test needs. rustc links by the system's C compiler, so there is one.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::programs::repository;

/// An empty folder for one test.
pub fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("fake-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("cargo's folder can be written");
    folder
}

/// Every function of the library but for `eplb_abi_version`: the names in its header that a parenthesis follows.
pub fn all() -> BTreeSet<String> {
    let header = fs::read_to_string(repository("include/eplb.h")).expect("the header is committed");
    let names = header.split('(').filter_map(|text| text.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next());
    names.filter(|name| name.starts_with("eplb_") && *name != "eplb_abi_version").map(str::to_owned).collect()
}

pub struct Fake {
    name: String,
    source: String,
}

impl Fake {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), source: String::new() }
    }

    pub fn body(mut self, text: &str) -> Self {
        self.source.push_str(text);
        self
    }

    pub fn version(self, number: i32) -> Self {
        self.body(&format!("int eplb_abi_version(void) {{ return {number}; }}\n"))
    }

    /// Functions that do nothing and answer this.
    pub fn functions(mut self, names: impl IntoIterator<Item = String>, answer: i32) -> Self {
        for name in names {
            writeln!(self.source, "int {name}() {{ return {answer}; }}").expect("strings take all");
        }
        self
    }

    /// The path of the library.
    pub fn build(self) -> String {
        let folder = folder(&self.name);
        let (source, library) = (folder.join("fake.c"), folder.join("libfake.so"));
        fs::write(&source, self.source).expect("the folder can be written");
        let done = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        assert!(done.expect("there is a C compiler").success());
        library.to_string_lossy().into_owned()
    }
}
