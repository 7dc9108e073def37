//! How much of the load is away from home, and the policy that keeps groups there.
#![allow(clippy::cast_possible_wrap, clippy::cast_precision_loss, clippy::float_cmp)]

mod input;
mod invariants;

use eplb::{Error, Policy, PolicyReason, Problem, SolveOptions, Strategy, WeightShape};
use input::{Input, Weights, context, strategies};
use invariants::{Maps, check, close_shares, solve_and_check};

/// Two groups of two experts, two nodes of two GPUs; a third of expert 0 is on the other node.
const WEIGHTS: [f32; 4] = [6.0, 2.0, 5.0, 7.0];
const PLACEMENT: [i32; 8] = [0, 1, 0, 1, 2, 3, 0, 2];

/// Nothing divides anything.
fn input(policy: Policy) -> Input {
    let weights = (0_u32..3 * 64).map(|i| f64::from(1 + i * i * 7919 % 1009)).collect();
    let mut input = Input::new(Weights::F64(weights), [1, 3, 64], 80, 16);
    (input.num_nodes, input.num_groups, input.policy, input.off_home_target) = (3, 7, policy, 1.05);
    input
}

#[test]
fn of_any_placement() {
    let mut context = context();
    context.upload(&WEIGHTS, WeightShape::new(1, 4)).expect("these are weights");
    let problem = Problem::new(8, 4).num_nodes(2).num_groups(2);
    let judge = |problem: &Problem| context.evaluate(problem, &PLACEMENT).expect("it is a placement");
    for policy in [Policy::Global, Policy::Soft] {
        let problem = problem.policy(policy);
        // Not set: the library's default.
        for (problem, bound) in [
            (problem, 0.6 - 1.01 / 2.0),
            (problem.off_home_target(1.0), 0.1),
            (problem.off_home_target(1.125), 0.6 - 1.125 / 2.0),
            (problem.off_home_target(1.5), 0.0),
        ] {
            let report = judge(&problem);
            assert_eq!(report.policy, policy);
            assert!(close_shares(report.off_home_mean, 0.1) && report.off_home_worst == report.off_home_mean);
            assert!(close_shares(report.off_home_bound_mean, bound), "{}", report.off_home_bound_mean);
        }
    }
}

#[test]
fn of_soft_plans() {
    let (mut context, soft) = (context(), input(Policy::Soft));
    soft.upload(&mut context).expect("these are weights");
    let maps = solve_and_check(&mut context, &soft, Strategy::Best).expect("it is a placement");
    assert_eq!((maps.report.policy, maps.report.policy_reason), (Policy::Soft, PolicyReason::Asked));
    let current = solve_and_check(&mut context, &input(Policy::Global), Strategy::Best).expect("it is a placement");
    assert!(current.report.off_home_mean > 0.0);
    let plan = context
        .rebalance(&current.physical_to_logical, &soft.problem(), &SolveOptions::new())
        .expect("it can be changed");
    check(&soft, Strategy::Rebalance, &Maps::of(&plan).expect("it was solved")).expect("it is a placement");
}

#[test]
fn strategies_without_homes_are_refused() {
    let (mut context, soft) = (context(), input(Policy::Soft));
    soft.upload(&mut context).expect("these are weights");
    for strategy in strategies().into_iter().filter(|&strategy| strategy != Strategy::Best) {
        let refused = context.solve(&soft.problem(), &soft.options(strategy)).map(|_| ());
        let words = format!("policy is EPLB_POLICY_SOFT, which strategy {strategy}");
        assert!(matches!(&refused, Err(Error::Unavailable(text)) if text.contains(&words)), "{refused:?}");
    }
}

#[test]
fn targets_out_of_range_are_refused() {
    let (mut context, soft) = (context(), input(Policy::Soft));
    soft.upload(&mut context).expect("these are weights");
    for (target, number) in [(0.5, "500 / 1000"), (0.0, "0 / 1000"), (1025.0, "1025000 / 1000"), (f64::NAN, "NaN")] {
        let refused = context.solve(&soft.problem().off_home_target(target), &SolveOptions::new()).map(|_| ());
        let words = format!("off_home_target is {number}");
        assert!(matches!(&refused, Err(Error::InvalidArgument(text)) if text.contains(&words)), "{refused:?}");
    }
}
