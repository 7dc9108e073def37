//! The objective of windows: what it changes and what it must not, on measured weights.
#![allow(clippy::cast_possible_wrap, clippy::cast_precision_loss, clippy::float_cmp)]

mod input;
mod invariants;

use std::fs;

use eplb::{Cluster, Error, Objective, Policy, Problem, SolveOptions, Strategy, WeightShape};
use input::{Input, Weights, context};
use invariants::{Maps, check};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/data/olmoe-1b-7b_");
const ROW: usize = 3 * 64;
const SLOTS: usize = 80;
const GPUS: usize = 16;
const PLACES: usize = SLOTS / GPUS;

/// Text and code: two measured windows `[2,3,64]`.
fn measured() -> Vec<f64> {
    let read = |corpus| fs::read_to_string(format!("{DATA}{corpus}_L3xE64.csv")).expect("it is in the repository");
    let words = [read("allenai"), read("github")].join("\n");
    let values: Vec<f64> = words
        .split([',', '\n'])
        .filter(|word| !word.trim().is_empty())
        .map(|word| word.trim().parse().expect("it is a number"))
        .collect();
    assert_eq!(values.len(), 2 * ROW);
    values
}

fn input_of(values: &[f64]) -> Input {
    Input::new(Weights::F64(values.to_vec()), [values.len() / ROW, 3, 64], SLOTS, GPUS)
}

/// The maps of a fresh placement, for which all holds that holds for every one.
fn solved(input: &Input, objective: Objective) -> Maps {
    let mut context = context();
    input.upload(&mut context).expect("these are weights");
    let options = input.options(Strategy::Best);
    let plan = context.solve(&input.problem().objective(objective), &options).expect("it can be solved");
    let maps = Maps::of(&plan).expect("it was solved");
    check(input, Strategy::Best, &maps).expect("it is a placement");
    maps
}

/// The same from a placement.
fn rebalanced(input: &Input, objective: Objective, current: &[i64], options: &SolveOptions) -> Maps {
    let mut context = context();
    input.upload(&mut context).expect("these are weights");
    let problem = input.problem().objective(objective);
    let plan = context.rebalance(current, &problem, options).expect("it can be changed");
    let maps = Maps::of(&plan).expect("it was solved");
    check(input, Strategy::Rebalance, &maps).expect("it is a placement");
    maps
}

/// Good for text alone.
fn stale() -> Vec<i64> {
    solved(&input_of(&measured()[..ROW]), Objective::Sum).physical_to_logical
}

/// What a change of weights must not change: a fresh placement and one from a placement.
fn both(values: &[f64], objective: Objective) -> [Vec<i64>; 2] {
    let input = input_of(values);
    let changed = rebalanced(&input, objective, &stale(), &SolveOptions::new().max_moves(6));
    [solved(&input, objective).physical_to_logical, changed.physical_to_logical]
}

#[test]
fn windows_are_better_balanced_than_by_their_sum() {
    let mut input = input_of(&measured());
    let (of_sum, windows) = (solved(&input, Objective::Sum).report, solved(&input, Objective::Windows).report);
    assert!(windows.windows_mean < of_sum.windows_mean && windows.windows_mean < 1.05);
    assert!(windows.windows_worst < of_sum.windows_worst);
    // Groups stay on nodes.
    (input.num_nodes, input.num_groups, input.policy) = (4, 8, Policy::Hierarchical);
    assert_eq!(solved(&input, Objective::Windows).report.policy, Policy::Hierarchical);
}

#[test]
fn one_window_is_solved_as_the_sum() {
    let values = measured();
    let (code, silent) = (&values[ROW..], vec![0.0; ROW]);
    for alone in [code.to_vec(), [&silent, code].concat()] {
        assert_eq!(both(&alone, Objective::Windows), both(&alone, Objective::Sum));
    }
}

#[test]
fn loads_of_windows_and_silent_ones_change_nothing() {
    let values = measured();
    let (text, code) = values.split_at(ROW);
    let want = both(&values, Objective::Windows);
    let scaled: Vec<f64> =
        text.iter().map(|load| load * 1_048_576.0).chain(code.iter().map(|load| load / 512.0)).collect();
    assert_eq!(both(&scaled, Objective::Windows), want);
    assert_eq!(both(&[text, &[0.0; ROW], code].concat(), Objective::Windows), want);
}

/// Experts that a GPU holds and did not hold, by layer and GPU.
fn arrivals(current: &[i64], placement: &[i64]) -> Vec<usize> {
    let count = |(held, holds): (&[i64], &[i64])| {
        let mut new: Vec<i64> = holds.iter().copied().filter(|expert| !held.contains(expert)).collect();
        new.sort_unstable();
        new.dedup();
        new.len()
    };
    current.chunks(PLACES).zip(placement.chunks(PLACES)).map(count).collect()
}

#[test]
fn limits_of_a_rebalance_are_kept() {
    let (input, current) = (input_of(&measured()), stale());
    // Moves of a layer, arrivals of a GPU, moves of all layers.
    let limits = [
        (Some(5), None, None),
        (None, Some(1), None),
        (None, None, Some(11)),
        (Some(6), Some(2), Some(14)),
        (Some(0), None, None),
    ];
    for (of_layer, of_gpu, of_all) in limits {
        let mut options = SolveOptions::new();
        if let Some(most) = of_layer {
            options = options.max_moves(most);
        }
        if let Some(most) = of_gpu {
            options = options.max_arrivals(most);
        }
        if let Some(most) = of_all {
            options = options.max_moves_total(most);
        }
        let maps = rebalanced(&input, Objective::Windows, &current, &options);
        let arrived = arrivals(&current, &maps.physical_to_logical);
        let total: usize = arrived.iter().sum();
        assert!(arrived.chunks(GPUS).all(|layer| layer.iter().sum::<usize>() <= of_layer.unwrap_or(usize::MAX)));
        assert!(arrived.iter().all(|&count| count <= of_gpu.unwrap_or(usize::MAX)));
        assert!(total <= of_all.unwrap_or(usize::MAX));
        assert_eq!(total > 0, of_layer != Some(0));
    }
}

#[test]
fn closed_slots_stay_empty() {
    let (mut context, input) = (context(), input_of(&measured()));
    let slots: Vec<usize> = (0..GPUS).map(|gpu| if gpu == 6 { 0 } else { PLACES - gpu % 2 }).collect();
    let speeds = [1.0, 1.1, 1.2, 1.0].into_iter().cycle().take(GPUS);
    context.upload_cluster(&Cluster::new(GPUS).slots(slots.clone()).speeds(speeds)).expect("these are GPUs");
    input.upload(&mut context).expect("these are weights");
    let worst = [Objective::Sum, Objective::Windows].map(|objective| {
        let plan = context.solve(&input.problem().objective(objective), &SolveOptions::new()).expect("it fits");
        let placement: Vec<i64> = plan.physical_to_logical().expect("it was solved");
        for (slot, &expert) in placement.iter().enumerate() {
            assert_eq!(expert >= 0, slot % PLACES < slots[slot % SLOTS / PLACES], "slot {slot}");
        }
        plan.report().expect("it was solved").windows_worst
    });
    assert!(worst[1] < worst[0], "{worst:?}");
}

#[test]
fn more_windows_than_are_kept_are_refused() {
    let (mut context, problem) = (context(), Problem::new(8, 2).objective(Objective::Windows));
    context.upload(&[1_i64; 64 * 4], WeightShape::new(1, 4).windows(64)).expect("it fits");
    assert!(context.solve(&problem, &SolveOptions::new()).is_ok());
    context.upload(&[1_i64; 65 * 4], WeightShape::new(1, 4).windows(65)).expect("it fits");
    let refused = context.solve(&problem, &SolveOptions::new()).map(|_| ());
    assert!(matches!(refused, Err(Error::Unavailable(text)) if text.contains("more than 64")));
}
