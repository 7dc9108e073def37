//! Nothing of eplb.h is left out: every function is called, every constant is named.

mod programs;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use programs::repository;

/// eplb.h without its comments.
fn header() -> String {
    let text = fs::read_to_string(repository("include/eplb.h")).expect("the header is in the repository");
    text.split("/*").map(|part| part.rsplit("*/").next().unwrap_or_default()).collect()
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').map(str::to_owned).collect()
}

fn functions() -> BTreeSet<String> {
    let header = header();
    let before_parentheses = header.split('(').filter_map(|part| part.split_whitespace().last());
    before_parentheses
        .map(|word| word.trim_start_matches('*').to_owned())
        .filter(|word| word.starts_with("eplb_"))
        .collect()
}

fn source(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = fs::read_dir(folder).expect("the crate's sources are there").flatten().map(|entry| entry.path());
    files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
}

#[test]
fn every_function_is_called() {
    let (declared, called) = (functions(), words(&source("src/raw")));
    assert!(declared.len() >= 24, "{declared:?}");
    // Names of statuses are known without a library; tests/calls.rs compares them with its own.
    let missing: Vec<_> = declared.difference(&called).filter(|name| *name != "eplb_status_name").collect();
    assert!(missing.is_empty(), "no call of {missing:?}");
}

#[test]
fn every_constant_is_named() {
    let named = words(&(source("src") + &source("src/raw")));
    let declared: Vec<_> =
        words(&header()).into_iter().filter(|word| word.starts_with("EPLB_") && word != "EPLB_H").collect();
    assert!(declared.len() >= 40, "{declared:?}");
    let missing: Vec<_> = declared.iter().filter(|word| !named.contains(*word)).collect();
    assert!(missing.is_empty(), "no {missing:?}");
}

#[test]
fn the_committed_bindings_have_every_word_of_the_header() {
    let bindings = fs::read_to_string(repository("bindings/rust/eplb-sys/src/bindings.rs")).expect("it is committed");
    let (declared, bound) = (words(&header()), words(&bindings));
    let missing: Vec<_> = declared
        .difference(&bound)
        .filter(|word| (word.starts_with("eplb_") || word.starts_with("EPLB_")) && *word != "EPLB_H")
        .collect();
    assert!(missing.is_empty(), "python3 tools/bindings/generate.py: no {missing:?}");
}
