//! Measured weights: those of the repository, and optional ones outside of it.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss, clippy::float_cmp)]

mod input;
mod invariants;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use eplb::Strategy;
use input::{Input, Weights, context};
use invariants::solve_and_check;
use libtest_mimic::{Arguments, Failed, Trial};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/data");
/// Weights without a licence: not in the repository.
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/data");

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "csv")).collect();
    files.sort();
    files
}

/// A layer per line.
fn read(path: &Path) -> Result<Input, Failed> {
    let text = fs::read_to_string(path)?;
    let rows: Vec<Vec<f32>> =
        text.lines().map(|line| line.split(',').map(|word| word.trim().parse()).collect()).collect::<Result<_, _>>()?;
    let experts = rows.first().map_or(0, Vec::len);
    let weights = Weights::F32(rows.concat());
    // One slot in eight more than experts, on as many GPUs as divide that.
    let slots = experts + experts.div_ceil(8);
    let gpus = (2..=experts / 8).rev().find(|gpus| slots.is_multiple_of(*gpus)).unwrap_or(1);
    Ok(Input::new(weights, [1, rows.len(), experts], slots, gpus))
}

fn check(path: &Path, strategy: Strategy) -> Result<(), Failed> {
    let input = read(path)?;
    let mut context = context();
    input.upload(&mut context)?;
    let maps = solve_and_check(&mut context, &input, strategy)?;
    if strategy == Strategy::Best && maps.report.gap_mean > 0.2 {
        return Err(format!("a mean gap of {}", maps.report.gap_mean).into());
    }
    Ok(())
}

fn trials(path: &Path) -> Vec<Trial> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let strategies = [Strategy::Best, Strategy::Greedy, Strategy::LptSwap];
    let trial = |strategy| {
        let path = path.to_owned();
        Trial::test(format!("trace {name}/{strategy}"), move || check(&path, strategy))
    };
    strategies.into_iter().map(trial).collect()
}

fn main() -> ExitCode {
    let (own, shared) = (files(HERE), files(SHARED));
    let there = !own.is_empty();
    let mut tests = vec![Trial::test("the repository's trace is there", move || {
        there.then_some(()).ok_or_else(|| format!("no CSV in {HERE}").into())
    })];
    if shared.is_empty() {
        let absent = Trial::test("real traces: ../shared/data is not here", || Ok(()));
        tests.push(absent.with_ignored_flag(true));
    }
    tests.extend(own.iter().chain(&shared).flat_map(|path| trials(path)));
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
