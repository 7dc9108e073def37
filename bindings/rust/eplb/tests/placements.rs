//! Whatever is asked, what comes back is a valid placement.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss, clippy::float_cmp)]

mod input;
mod invariants;

use eplb::{Effort, Policy, Strategy as Solver};
use input::{Input, Weights, context, strategies};
use invariants::{Failure, solve_and_check};
use proptest::prelude::*;

/// Sizes that fit each other, under either policy: each is made of what the rules divide by.
fn shapes() -> impl Strategy<Value = Input> {
    let counts = (1_usize..=3, 1_usize..=3, 1_usize..=2, 1_usize..=3, 1_usize..=4);
    (counts, 1_usize..=5, 1_usize..=2, 1_usize..=3, any::<u64>(), 0_usize..=2).prop_map(
        |((nodes, gpus_of_node, groups_of_node, experts_of_group, per_gpu), extra, windows, layers, seed, policy)| {
            let (num_gpus, num_groups) = (nodes * gpus_of_node, nodes * groups_of_node);
            let experts = num_groups * experts_of_group;
            // Enough slots for every expert of a node, and some more.
            let per_gpu = per_gpu.max((groups_of_node * experts_of_group).div_ceil(gpus_of_node)) + extra / 4;
            let none = Weights::I32(Vec::new());
            Input {
                num_nodes: nodes,
                num_groups,
                policy: [Policy::Auto, Policy::Hierarchical, Policy::Global][policy],
                seed,
                ..Input::new(none, [windows, layers, experts], num_gpus * per_gpu, num_gpus)
            }
        },
    )
}

/// Small and large, with zeros and ties.
fn weights(length: usize) -> impl Strategy<Value = Weights> {
    let whole = prop_oneof![1 => Just(0), 3 => 0..10_i32, 3 => 0..100_000_i32];
    let real = prop_oneof![1 => Just(0.0), 3 => 0.0..1.0_f64, 2 => 1e-30..1e30_f64, 1 => 0.0..1e-300_f64];
    prop_oneof![
        proptest::collection::vec(whole.clone(), length).prop_map(Weights::I32),
        proptest::collection::vec(whole, length)
            .prop_map(|values| Weights::I64(values.into_iter().map(|value| i64::from(value) << 20).collect())),
        proptest::collection::vec(real.clone(), length)
            .prop_map(|values| Weights::F32(values.into_iter().map(|value| value as f32).collect())),
        proptest::collection::vec(real, length).prop_map(Weights::F64),
    ]
}

fn inputs() -> impl Strategy<Value = Input> {
    shapes().prop_flat_map(|input| {
        weights(input.windows * input.layers * input.experts)
            .prop_map(move |weights| Input { weights, ..input.clone() })
    })
}

fn solvers() -> impl Strategy<Value = Solver> {
    proptest::sample::select(strategies())
}

// A case that fails becomes a golden vector, so no file of seeds is kept.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn every_answer_is_a_placement(input in inputs(), solver in solvers()) {
        let mut context = context();
        prop_assert!(input.upload(&mut context).is_ok());
        if let Err(failure) = solve_and_check(&mut context, &input, solver) {
            prop_assert!(false, "{failure}");
        }
    }

    #[test]
    fn a_cap_is_kept_or_refused(input in inputs(), solver in solvers(), max_replicas in 1_usize..4) {
        let input = Input { max_replicas, ..input };
        let mut context = context();
        prop_assert!(input.upload(&mut context).is_ok());
        match solve_and_check(&mut context, &input, solver) {
            Err(Failure::Refused(eplb::Error::InvalidArgument(text))) => prop_assert!(text.contains("max_replicas")),
            other => prop_assert!(other.is_ok(), "{:?}", other.err()),
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer(input in inputs(), solver in solvers(), threads in 2_usize..4) {
        let options = eplb::ContextOptions::new().num_threads(threads);
        let mut other = eplb::Context::new(&input::library(), &options).expect("more threads can be had");
        let mut context = context();
        let options = input.options(solver).effort(Effort::Fast);
        let mut answers = Vec::new();
        for context in [&mut context, &mut other] {
            prop_assert!(input.upload(context).is_ok());
            let plan = context.solve(&input.problem(), &options);
            answers.push(plan.and_then(|plan| plan.physical_to_logical::<i32>()));
        }
        prop_assert!(answers[0].is_ok());
        prop_assert_eq!(&answers[0], &answers[1]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_with_a_sentence(
        slots in 0_usize..40, gpus in 0_usize..9, nodes in 0_usize..5, groups in 0_usize..9, experts in 0_usize..13,
    ) {
        let weights = Weights::I32((0..experts as i32).collect());
        let input = Input {
            num_nodes: nodes,
            num_groups: groups,
            ..Input::new(weights, [1, 1, experts], slots, gpus)
        };
        let mut context = context();
        if let Err(error) = input.upload(&mut context) {
            prop_assert_eq!(experts, 0);
            prop_assert!(error.to_string().contains("num_experts"), "{error}");
            return Ok(());
        }
        match solve_and_check(&mut context, &input, Solver::LptSwap) {
            Ok(_) => {}
            Err(Failure::Refused(eplb::Error::InvalidArgument(text))) => prop_assert!(text.contains("must be")),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}
