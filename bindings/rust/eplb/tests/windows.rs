//! Figures of every window.
#![allow(clippy::float_cmp)]

mod input;

use eplb::{Error, Map, Objective, Problem, SolveOptions, Strategy, WeightShape};
use input::context;

/// Two windows of two layers: loads of the first layer are on one GPU in each, the second has some in the second window.
const PAIR: [i32; 16] = [4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 1, 1, 1, 1];
const PLACEMENT: [i32; 8] = [0, 1, 2, 3, 0, 1, 2, 3];

#[test]
fn of_any_placement() {
    let (mut context, problem) = (context(), Problem::new(4, 2));
    assert!(matches!(context.evaluate_windows(&problem, &PLACEMENT), Err(Error::InvalidState(_))));
    context.upload(&PAIR, WeightShape::new(2, 4).windows(2)).expect("it fits");
    assert_eq!(context.evaluate_windows(&problem, &PLACEMENT).as_deref(), Ok(&[2.0, 2.0, 1.0, 1.0][..]));
    let bounds = context.bound_windows(&problem, &PLACEMENT).expect("it is a placement");
    assert!(bounds.iter().zip([4.0, 3.0, 0.0, 2.0]).all(|(bound, want)| (bound - want).abs() < 1e-9), "{bounds:?}");
    let report = context.evaluate(&problem, &PLACEMENT).expect("it is a placement");
    assert_eq!((report.num_windows, report.num_empty_windows, report.windows_worst), (2, 0, 2.0));
    assert_eq!((report.worst_window, report.worst_window_layer), (0, 0));
    assert!((report.windows_mean - 5.0 / 3.0).abs() < 1e-12);
    assert!(matches!(context.bound_windows(&problem, &PLACEMENT[..4]), Err(Error::InvalidArgument(_))));
}

#[test]
fn of_a_plan() {
    let (mut context, problem) = (context(), Problem::new(6, 2));
    context.upload(&PAIR, WeightShape::new(2, 4).windows(2)).expect("it fits");
    let plan = context.solve(&problem, &SolveOptions::new().strategy(Strategy::Greedy)).expect("it can be solved");
    assert_eq!(plan.map_shape(Map::WindowBound).expect("it was solved").dims(), [2, 2]);
    let placement: Vec<i32> = plan.physical_to_logical().expect("it was solved");
    let (imbalance, bound) = (plan.window_imbalance(), plan.window_bound());
    assert_eq!(imbalance, plan.context().evaluate_windows(&problem, &placement));
    assert_eq!(bound, plan.context().bound_windows(&problem, &placement));
}

#[test]
fn what_is_not_kept_is_not_known() {
    let mut context = context();
    context.upload(&[1_i64; 65 * 4], WeightShape::new(1, 4).windows(65)).expect("it fits");
    let plan = context.solve(&Problem::new(4, 2), &SolveOptions::new()).expect("it can be solved");
    assert!(matches!(plan.window_imbalance(), Err(Error::Unavailable(text)) if text.contains("more than 64")));
    let judged = plan.context().evaluate_windows(&Problem::new(4, 2), &PLACEMENT[..4]);
    assert!(matches!(judged, Err(Error::Unavailable(_))));
    assert_eq!(plan.report().expect("it was solved").num_windows, 0);
}

#[test]
fn windows_apart_are_refused_by_strategies_without_them() {
    let (mut context, problem) = (context(), Problem::new(4, 2));
    context.upload(&PAIR, WeightShape::new(2, 4).windows(2)).expect("it fits");
    assert!(context.solve(&problem.objective(Objective::Sum), &SolveOptions::new()).is_ok());
    let greedy = SolveOptions::new().strategy(Strategy::Greedy);
    let refused = context.solve(&problem.objective(Objective::Windows), &greedy);
    assert!(matches!(refused, Err(Error::Unavailable(text)) if text.contains("EPLB_OBJECTIVE_WINDOWS")));
}
