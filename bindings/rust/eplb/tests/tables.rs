//! Prices of one's own, and weights of windows.
#![allow(clippy::cast_precision_loss, clippy::float_cmp)]

mod input;

use eplb::{Cluster, Error, Objective, Policy, Problem, Result, SolveOptions, WeightShape};
use input::context;

/// Two groups of two experts on two nodes of two GPUs.
const WEIGHTS: [f32; 4] = [6.0, 2.0, 8.0, 4.0];
const PLACEMENT: [i32; 8] = [0, 1, 0, 2, 2, 3, 2, 2];

fn soft() -> Problem {
    Problem::new(8, 4).num_nodes(2).num_groups(2).policy(Policy::Soft)
}

fn refused<T>(result: Result<T>, words: &str) {
    assert!(matches!(&result.map(|_| ()), Err(Error::InvalidArgument(text)) if text.contains(words)), "{words}");
}

#[test]
fn what_is_paid() {
    let mut context = context();
    context.upload(&WEIGHTS, WeightShape::new(1, 4)).expect("these are weights");
    // By group and by expert: paid is the sum over the replicas of what each carries times its price.
    let (by_group, by_expert) = ([0.0, 6.0, 4.0, 2.0], [1.0, 8.0, 2.0, 0.0, 0.0, 0.0, 8.0, 8.0]);
    for (prices, paid, least) in [(&by_group[..], 32.0 / 120.0, 24.0 / 120.0), (&by_expert[..], 106.0 / 160.0, 0.1)] {
        context.upload_prices(prices, 2, prices.len() / 2).expect("these are prices");
        let report = context.evaluate(&soft(), &PLACEMENT).expect("it is a placement");
        assert!((report.off_home_mean - paid).abs() < 1e-12, "{}", report.off_home_mean);
        assert!((report.off_home_bound_mean - least).abs() < 1e-9, "{}", report.off_home_bound_mean);
    }
    // Other policies do not know them.
    let global = context.evaluate(&soft().policy(Policy::Global), &PLACEMENT).expect("it is a placement");
    context.forget_prices().expect("there is nothing that could fail");
    let without = context.evaluate(&soft(), &PLACEMENT).expect("it is a placement");
    assert_eq!(global.off_home_mean, without.off_home_mean);
}

#[test]
fn prices_stay_until_they_are_forgotten() {
    let mut context = context();
    let weights: Vec<f64> = (0_u32..2 * 64).map(|i| f64::from(1 + i * i * 7919 % 1009)).collect();
    context.upload(&weights, WeightShape::new(2, 64)).expect("these are weights");
    let problem = Problem::new(80, 16).num_nodes(4).num_groups(8).policy(Policy::Soft);
    let prices: Vec<f64> = (0..32).map(|i| f64::from(i * 5 % 7)).collect();
    let solve = |context: &mut eplb::Context| {
        let plan = context.solve(&problem, &SolveOptions::new()).expect("it can be solved");
        let (share, bound) = (plan.off_home().expect("it was solved"), plan.off_home_bound().expect("it was solved"));
        assert!(share.iter().zip(&bound).all(|(share, bound)| (0.0..=1.0).contains(share) && bound <= share));
        plan.fingerprint().expect("it was solved")
    };
    let without = solve(&mut context);
    context.upload_prices(&prices, 4, 8).expect("these are prices");
    assert!(context.plan().is_none());
    let with = solve(&mut context);
    assert_ne!(with, without);
    // What was refused has changed nothing, and a cluster comes and goes without them.
    refused(context.upload_prices(&prices[..31], 4, 8), "prices_length is 31");
    assert!(context.plan().is_some());
    context.upload_cluster(&Cluster::new(16).slots([5; 16])).expect("these are GPUs");
    assert_eq!(solve(&mut context), with);
    context.forget_prices().expect("there is nothing that could fail");
    assert!(context.plan().is_none());
    assert_eq!(solve(&mut context), without);
}

#[test]
fn prices_that_are_refused() {
    let mut context = context();
    context.upload(&WEIGHTS, WeightShape::new(1, 4)).expect("these are weights");
    refused(context.upload_prices(&[], 0, 0), "num_nodes is 0");
    refused(context.upload_prices(&[], 2, 2), "prices_length is 0, must be num_nodes * num_columns = 2 * 2 = 4");
    refused(context.upload_prices(&[1.0, f64::NAN], 1, 2), "prices[node 0, column 1] is NaN");
    refused(context.upload_prices(&[1.0, -1.0], 2, 1), "prices[node 1, column 0] is negative");
    refused(context.upload_prices(&[0.0, 0.0], 2, 1), "0 on all nodes");
    refused(context.upload_prices(&[1.0], usize::MAX, usize::MAX), "num_nodes");
    context.upload_prices(&[1.0; 6], 3, 2).expect("these are prices");
    refused(context.solve(&soft(), &SolveOptions::new()), "num_nodes is 2, but there are prices for 3 nodes");
    context.upload_prices(&[1.0; 6], 2, 3).expect("these are prices");
    refused(context.solve(&soft(), &SolveOptions::new()), "prices have 3 columns, must have 4");
}

#[test]
fn weights_of_windows() {
    let mut context = context();
    let windows: Vec<f64> = (0_u32..3 * 64).map(|i| f64::from(1 + i * i * 7919 % 1009)).collect();
    let problem = Problem::new(80, 16).objective(Objective::Windows);
    let solve = |context: &mut eplb::Context, rows: &[f64]| {
        let shape = WeightShape::new(1, 64).windows(rows.len() / 64);
        context.upload(rows, shape).expect("these are weights");
        let plan = context.solve(&problem, &SolveOptions::new()).expect("it can be solved");
        plan.fingerprint().expect("it was solved")
    };
    let equal = solve(&mut context, &windows);
    let others = solve(&mut context, &[&windows[..64], &windows[128..]].concat());
    context.upload_window_weights(&[3.0, 0.0, 3.0]).expect("these are weights");
    assert!(context.plan().is_none());
    assert_eq!(solve(&mut context, &windows), others);
    refused(context.upload_window_weights(&[]), "num_windows is 0");
    refused(context.upload_window_weights(&[1.0; 65]), "num_windows is 65");
    refused(context.upload_window_weights(&[1.0, f64::INFINITY]), "weights[window 1] is infinite");
    refused(context.upload_window_weights(&[0.0; 3]), "0 in all windows");
    assert!(context.plan().is_some());
    context.upload_window_weights(&[1.0; 2]).expect("these are weights");
    refused(context.solve(&problem, &SolveOptions::new()), "there are 3 windows, but weights for 2");
    context.forget_window_weights().expect("there is nothing that could fail");
    assert_eq!(solve(&mut context, &windows), equal);
}
