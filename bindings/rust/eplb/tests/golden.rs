//! The golden vectors: every case by every strategy, each a test of its own.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss, clippy::float_cmp)]

mod input;
mod invariants;
mod raw_calls;
mod vectors;

use std::process::ExitCode;
use std::sync::Arc;

use eplb::{Error, Strategy};
use input::{Input, context, strategies};
use invariants::{Failure, Maps, close, solve_and_check};
use libtest_mimic::{Arguments, Failed, Trial};
use vectors::{Answer, Expected, Vector};

fn agrees(maps: &Maps, answer: &Answer) -> Result<(), String> {
    let ints = [
        ("physical_to_logical", &maps.physical_to_logical, &answer.physical_to_logical),
        ("replica_count", &maps.replica_count, &answer.replica_count),
        ("replica_slots", &maps.replica_slots, &answer.replica_slots),
        ("duplicates", &maps.duplicates, &answer.duplicates),
    ];
    for (name, found, expected) in ints {
        if found != expected {
            return Err(format!("{name} is {found:?}, not {expected:?}"));
        }
    }
    let imbalance = maps.imbalance.iter().zip(&answer.imbalance).all(|(&found, &expected)| close(found, expected));
    if !imbalance || maps.imbalance.len() != answer.imbalance.len() {
        return Err(format!("imbalance is {:?}, not {:?}", maps.imbalance, answer.imbalance));
    }
    Ok(())
}

/// Whether the published program, which knows no float64 and no cap, may refuse to answer.
fn greedy_may_refuse(input: &Input, strategy: Strategy, error: &Error) -> bool {
    let refused = matches!(error, Error::InvalidWeight(text) if text.contains("float32"))
        || (input.max_replicas > 0 && matches!(error, Error::InvalidArgument(text) if text.contains("max_replicas")));
    strategy == Strategy::Greedy && refused
}

fn check_answer(vector: &Vector, strategy: Strategy) -> Result<(), Failed> {
    let input = vector.input().ok_or("a vector with an answer has counts")?;
    let mut context = context();
    input.upload(&mut context)?;
    let maps = match (solve_and_check(&mut context, &input, strategy), vector.answer(strategy)) {
        (Err(Failure::Refused(error)), None) if greedy_may_refuse(&input, strategy, &error) => return Ok(()),
        (Err(failure), _) => return Err(failure.into()),
        (Ok(maps), None) => maps,
        (Ok(maps), Some(answer)) => {
            agrees(&maps, &answer)?;
            maps
        }
    };
    match vector.policy_used {
        Some(policy) if policy != maps.report.policy => Err(format!("policy used is {}", maps.report.policy).into()),
        _ => Ok(()),
    }
}

fn refusal(vector: &Vector, strategy: Option<Strategy>) -> Result<(i32, &'static str, String), Failed> {
    let Some(input) = vector.input() else {
        let (code, text) = raw_calls::solve(vector);
        return Ok((code, "", text));
    };
    let mut context = context();
    let options = strategy.map_or_else(|| input.options(Strategy::Best), |strategy| input.options(strategy));
    let error = input.upload(&mut context).and_then(|()| context.solve(&input.problem(), &options).map(|_| ())).err();
    let error = error.ok_or("it was not refused")?;
    Ok((error.code(), error.status_name(), error.to_string()))
}

fn check_refusal(vector: &Vector, expected: &Expected) -> Result<(), Failed> {
    let (code, name, text) = refusal(vector, expected.strategy)?;
    let known = eplb_sys::EPLB_INVALID_ARGUMENT == code && expected.status == "EPLB_INVALID_ARGUMENT";
    if name != expected.status && !(name.is_empty() && known) {
        return Err(format!("status is {code} {name}, not {}: {text}", expected.status).into());
    }
    if !text.contains(&expected.text) {
        return Err(format!("'{text}' does not say '{}'", expected.text).into());
    }
    Ok(())
}

fn trials(vector: Vector) -> Vec<Trial> {
    let vector = Arc::new(vector);
    let name = &vector.name;
    match vector.expected_error() {
        Some(expected) => {
            let vector = Arc::clone(&vector);
            vec![Trial::test(format!("vector {name}/refused"), move || check_refusal(&vector, &expected))]
        }
        None => strategies()
            .into_iter()
            .map(|strategy| {
                let vector = Arc::clone(&vector);
                Trial::test(format!("vector {name}/{strategy}"), move || check_answer(&vector, strategy))
            })
            .collect(),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (vectors, fault) = match vectors::read() {
        Ok(vectors) => (vectors, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    let there = !vectors.is_empty();
    let mut tests = vec![Trial::test("the golden vectors are there", move || match fault {
        Some(fault) => Err(fault.into()),
        None if there => Ok(()),
        None => Err("there is none".into()),
    })];
    tests.extend(vectors.into_iter().flat_map(trials));
    libtest_mimic::run(&arguments, tests).exit_code()
}
