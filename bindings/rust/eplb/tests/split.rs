//! Tokens that are split over replicas.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::float_cmp)]

mod input;

use std::collections::BTreeSet;

use eplb::{Error, Map, Problem, SolveOptions, SplitOptions, WeightShape};
use input::{PROBLEM, context, uploaded};

const ALL: i64 = 65536;

/// What a split says, fetched.
struct Fetched {
    share: Vec<i64>,
    quota: Vec<f64>,
    load: Vec<f64>,
    imbalance: Vec<f64>,
    bound: Vec<f64>,
    tight: Vec<i32>,
}

fn fetched(split: &eplb::Split<'_>) -> eplb::Result<Fetched> {
    Ok(Fetched {
        share: split.share()?,
        quota: split.quota()?,
        load: split.load()?,
        imbalance: split.imbalance()?,
        bound: split.bound()?,
        tight: split.tight()?,
    })
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-10 * one.abs()
}

/// Sums, loads and the certificate of a layer; no GPU has a token or more above the bound.
fn check_layer(all: &Fetched, layer: usize, tokens: &[i64], placement: &[i32], gpus: usize, tolerance: f64) {
    let each = placement.len() / gpus;
    let slots = layer * placement.len();
    let mut on = vec![BTreeSet::new(); tokens.len()];
    let (mut sums, mut shares) = (vec![0.0; tokens.len()], vec![0; tokens.len()]);
    for (slot, &expert) in placement.iter().enumerate().filter(|(_, expert)| **expert >= 0) {
        let expert = usize::try_from(expert).expect("it is not negative");
        on[expert].insert(slot / each);
        sums[expert] += all.quota[slots + slot];
        shares[expert] += all.share[slots + slot];
    }
    assert!(shares.iter().all(|&sum| sum == ALL), "{shares:?}");
    assert!(sums.iter().zip(tokens).all(|(&sum, &own)| sum == own as f64), "{sums:?}");
    let load = &all.load[layer * gpus..][..gpus];
    for (gpu, &own) in load.iter().enumerate() {
        assert_eq!(own, all.quota[slots + gpu * each..][..each].iter().sum::<f64>());
        assert!(own < all.bound[layer] * (1.0 + tolerance) + 1.0);
    }
    let tight: BTreeSet<usize> = (0..gpus).filter(|gpu| all.tight[layer * gpus + gpu] == 1).collect();
    let inside: f64 = on.iter().zip(&sums).filter(|(gpus, _)| gpus.is_subset(&tight)).map(|(_, sum)| sum).sum();
    assert!(close(inside / tight.len() as f64, all.bound[layer]));
    let largest = load.iter().copied().fold(0.0, f64::max);
    assert!(close(largest / sums.iter().sum::<f64>() * gpus as f64, all.imbalance[layer]));
}

/// Prepared once, over the plan for other loads, it serves many.
#[test]
fn of_many_loads() {
    let (mut context, problem, shape) = (context(), Problem::new(80, 16), WeightShape::new(3, 64));
    let drawn = |round: i64| (1..=3 * 64).map(|index: i64| index * index * (7919 + round) % 10_007).collect::<Vec<_>>();
    context.upload(&drawn(0), shape).expect("it fits");
    let plan = context.solve(&problem, &SolveOptions::new()).expect("it can be solved");
    let placement: Vec<i32> = plan.physical_to_logical().expect("it was solved");
    context.split_prepare_plan(&problem).expect("there is a plan");
    for round in 1..6 {
        let (tokens, tolerance) = (drawn(round), 0.01 * (round % 2) as f64);
        context.upload(&tokens, shape).expect("it fits");
        let split = context.split(&SplitOptions::new().tolerance(tolerance)).expect("it can be split");
        let all = fetched(&split).expect("it was split");
        for layer in 0..3 {
            let (tokens, placement) = (&tokens[layer * 64..][..64], &placement[layer * 80..][..80]);
            check_layer(&all, layer, tokens, placement, 16, tolerance);
        }
        let mut buffer = vec![0_i64; 3 * 80];
        split.fetch_into(Map::Share, &mut buffer).expect("it has the length of the map");
        assert_eq!(buffer, all.share);
    }
}

#[test]
fn the_plan_is_left_alone() {
    let mut context = uploaded();
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    let (before, placement) = (plan.fingerprint(), plan.physical_to_logical::<i64>().expect("it was solved"));
    context.split_prepare(&PROBLEM, &placement).expect("it is a placement");
    let split = context.split(&SplitOptions::new()).expect("it can be split");
    assert_eq!(split.map_shape(Map::SplitLoad).expect("it was split").dims(), [1, 8]);
    assert!(format!("{split:?}").contains("Split"));
    assert!(split.context().evaluate(&PROBLEM, &placement).is_ok());
    let refused = split.fetch::<i32>(Map::Quota);
    assert!(matches!(refused, Err(Error::InvalidArgument(text)) if text.contains("EPLB_MAP_QUOTA")));
    assert_eq!(context.plan().map(|plan| plan.fingerprint()), Some(before));
}

#[test]
fn what_cannot_be_is_refused() {
    let (mut context, options) = (context(), SplitOptions::new());
    let state = |split: eplb::Result<eplb::Split<'_>>, word: &str| {
        assert!(matches!(split, Err(Error::InvalidState(text)) if text.contains(word)));
    };
    state(context.split(&options), "eplb_upload_weights");
    context.upload(&[1, 2, 3, 4], WeightShape::new(1, 4)).expect("it fits");
    state(context.split(&options), "eplb_split_prepare");
    let problem = Problem::new(4, 2);
    assert!(matches!(context.split_prepare_plan(&problem), Err(Error::InvalidState(_))));
    assert!(matches!(context.split_prepare(&problem, &[0, 1, 2]), Err(Error::InvalidArgument(_))));
    assert!(matches!(context.split_prepare(&problem, &[0, 1, 2, 2]), Err(Error::InvalidPlacement(_))));
    context.split_prepare(&problem, &[0, 1, 2, 3]).expect("it is a placement");
    for tolerance in [-0.1, 1.1, f64::NAN] {
        let refused = context.split(&options.tolerance(tolerance));
        assert!(matches!(refused, Err(Error::InvalidArgument(text)) if text.contains("tolerance")));
    }
    assert!(context.split(&options.tolerance(1.0)).is_ok());
    context.upload(&[1, 2, 3], WeightShape::new(1, 3)).expect("it fits");
    state(context.split(&options), "of 4: call it again");
}
