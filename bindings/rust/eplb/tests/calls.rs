//! Every call of the safe crate, what it refuses, and what a refusal leaves.
#![allow(unsafe_code, clippy::float_cmp)]

mod input;

use std::ffi::CStr;

use eplb::{
    BoundKind, Context, ContextOptions, Device, DeviceKind, Effort, Error, Map, Policy, PolicyReason, Problem,
    SolveOptions, StaticDispatchOptions, Strategy, WeightShape,
};
use input::{PROBLEM, SHAPE, WEIGHTS, context, library, uploaded};

#[test]
fn the_optimum_of_the_header() {
    let mut context = uploaded();
    let plan = context.solve(&PROBLEM, &SolveOptions::new().effort(Effort::Max)).expect("it can be solved");
    let largest = plan.gpu_load().expect("it was solved").into_iter().fold(0.0, f64::max);
    assert!((largest - 590.0 / 3.0).abs() < 1e-9, "{largest}");
    assert_eq!((plan.num_layers(), plan.num_experts()), (1, 8));
    assert_eq!((plan.num_slots(), plan.num_gpus()), (16, 8));
    let report = plan.report().expect("it was solved");
    assert_eq!((report.strategy, report.policy), (Some(Strategy::Best), Policy::Hierarchical));
    assert_eq!((report.policy_reason, report.bound_kind), (PolicyReason::GroupsDivide, BoundKind::Simple));
    assert!(report.context_bytes > 0 && report.microseconds >= 0.0);
}

#[test]
fn map_shapes() {
    let mut context = uploaded();
    let options = SolveOptions::new().max_replicas(5);
    context.solve(&PROBLEM, &options).expect("it can be solved");
    // Some of the maps are of these.
    context.static_dispatch_over_plan(&PROBLEM, &StaticDispatchOptions::new().num_ranks(4)).expect("it was solved");
    let plan = context.plan().expect("it was solved");
    let dims_of = |map| -> &[usize] {
        match map {
            Map::LogicalToPhysical => &[1, 8, 5],
            Map::DispatchSlot => &[1, 4, 8],
            Map::ReplicaCount | Map::GpuLoad | Map::SplitLoad | Map::SplitTight | Map::DispatchLoad => &[1, 8],
            Map::WindowImbalance | Map::WindowBound => &[1, 1],
            Map::Imbalance
            | Map::Bound
            | Map::Duplicates
            | Map::MoveCount
            | Map::OffHome
            | Map::OffHomeBound
            | Map::SplitImbalance
            | Map::SplitBound
            | Map::DispatchImbalance
            | Map::DispatchBound => &[1],
            _ => &[1, 16],
        }
    };
    for &map in Map::ALL {
        let dims = dims_of(map);
        let shape = plan.map_shape(map).expect("it was solved");
        assert_eq!(shape.dims(), dims, "{map}");
        assert_eq!(shape.num_elements(), dims.iter().product::<usize>(), "{map}");
    }
    assert!(matches!(plan.map_shape(Map::from_raw(99)), Err(Error::Unavailable(_))));
}

#[test]
fn equal_plans_have_equal_fingerprints() {
    let (mut one, mut other) = (uploaded(), uploaded());
    let options = SolveOptions::new().strategy(Strategy::RandomRestarts);
    let of = |context: &mut Context, options: &SolveOptions| {
        let plan = context.solve(&PROBLEM, options).expect("it can be solved");
        (plan.fingerprint().expect("it was solved"), plan.replica_slots::<i32>().expect("it was solved"))
    };
    let first = of(&mut one, &options);
    assert_eq!(first, of(&mut other, &options));
    let greedy = of(&mut one, &SolveOptions::new().strategy(Strategy::Greedy));
    assert_eq!(first.0 == greedy.0, first.1 == greedy.1);
}

#[test]
fn a_buffer_is_filled_or_left_alone() {
    let mut context = uploaded();
    let plan = context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    let mut buffer = [-7_i32; 16];
    let error = plan.fetch_into(Map::PhysicalToLogical, &mut buffer[..15]).expect_err("it is too short");
    assert!(matches!(&error, Error::InvalidArgument(text) if text.contains("15") && text.contains("16")), "{error}");
    assert_eq!(buffer, [-7; 16]);
    plan.fetch_into(Map::PhysicalToLogical, &mut buffer).expect("it is long enough");
    assert_eq!(plan.physical_to_logical::<i32>().as_deref(), Ok(&buffer[..]));
    assert!(matches!(plan.fetch::<f64>(Map::PhysicalToLogical), Err(Error::InvalidArgument(_))));
    assert!(matches!(plan.fetch::<i32>(Map::GpuLoad), Err(Error::InvalidArgument(_))));
}

#[test]
fn what_is_not_set_is_the_default() {
    let mut context = uploaded();
    let mut solve = |problem: Problem, options: SolveOptions| {
        let plan = context.solve(&problem, &options).expect("it can be solved");
        (plan.replica_slots::<i64>(), plan.report().map(|report| (report.strategy, report.policy)))
    };
    let named = SolveOptions::new().strategy(Strategy::Best).effort(Effort::Normal).seed(0).max_replicas(0);
    let problem = PROBLEM.num_nodes(1).num_groups(1).policy(Policy::Auto).bound_kind(BoundKind::Simple);
    assert_eq!(solve(PROBLEM, SolveOptions::new()), solve(problem, named));
    assert_eq!(SolveOptions::new(), SolveOptions::default());
    assert_eq!(ContextOptions::new(), ContextOptions::default());
}

#[test]
fn the_order_of_calls() {
    let mut context = context();
    assert!(context.plan().is_none());
    let error = context.solve(&PROBLEM, &SolveOptions::new()).expect_err("nothing was uploaded");
    assert!(matches!(&error, Error::InvalidState(text) if text.contains("eplb_upload_weights")), "{error}");
    assert!(matches!(context.evaluate(&PROBLEM, &[0_i32; 16]), Err(Error::InvalidState(_))));
    assert!(matches!(context.evaluate_layers(&PROBLEM, &[0_i32; 16]), Err(Error::InvalidState(_))));
    assert_eq!(context.synchronize(), Ok(()));
}

#[test]
fn a_refusal_leaves_weights_and_plan() {
    let mut context = uploaded();
    let before = context.solve(&PROBLEM, &SolveOptions::new()).and_then(|plan| plan.physical_to_logical::<i32>());
    assert!(context.solve(&Problem::new(17, 8), &SolveOptions::new()).is_err());
    assert!(context.upload(&[f32::NAN; 8], SHAPE).is_err());
    assert!(context.upload(&WEIGHTS, WeightShape::new(2, 8)).is_err());
    let after = context.plan().expect("it is still there").physical_to_logical::<i32>();
    assert_eq!(before, after);
    // A good upload discards it.
    context.upload(&WEIGHTS, SHAPE).expect("these are weights");
    assert!(context.plan().is_none());
}

#[test]
fn sentences() {
    let mut context = context();
    let mut bad = WEIGHTS;
    bad[5] = f32::NAN;
    let error = context.upload(&bad, SHAPE).expect_err("NaN is no weight");
    assert_eq!(error, Error::InvalidWeight("weights[layer 0, expert 5] is NaN".into()));
    assert_eq!((error.code(), error.status_name()), (3, "EPLB_INVALID_WEIGHT"));
    context.upload(&WEIGHTS, SHAPE).expect("these are weights");
    let error = context.solve(&Problem::new(17, 8), &SolveOptions::new()).expect_err("17 slots do not fit 8 GPUs");
    assert_eq!(error.to_string(), "num_slots is 17, must be a multiple of num_gpus = 8 (16 or 24)");
    let error = context.solve(&PROBLEM, &SolveOptions::new().strategy(Strategy::from_raw(99)));
    let error = error.expect_err("there is no such strategy");
    assert!(error.to_string().contains("99"), "{error}");
    // What does not fit C's numbers is refused, not wrapped.
    assert!(matches!(
        context.solve(&Problem::new(usize::MAX, 8), &SolveOptions::new()),
        Err(Error::InvalidArgument(_))
    ));
    assert!(matches!(context.upload(&WEIGHTS, WeightShape::new(usize::MAX, 2)), Err(Error::InvalidArgument(_))));
}

#[test]
fn names_of_statuses_are_the_librarys() {
    // SAFETY: it is the library that was loaded and checked.
    let raw = unsafe { eplb_sys::Eplb::new(library().path()) }.expect("it was loaded before");
    let errors: [fn(String) -> Error; 13] = [
        Error::InvalidArgument,
        Error::InvalidState,
        Error::InvalidWeight,
        Error::InvalidPlacement,
        Error::Unavailable,
        Error::NotBuilt,
        Error::NoDriver,
        Error::NoDevice,
        Error::OutOfMemory,
        Error::DeviceOutOfMemory,
        Error::DeviceError,
        Error::Interrupted,
        Error::InternalError,
    ];
    let other = Error::Other { code: 4711, text: String::new() };
    for error in errors.into_iter().map(|make| make(String::new())).chain([other]) {
        // SAFETY: the text is static.
        let name = unsafe { CStr::from_ptr(raw.eplb_status_name(error.code())) };
        assert_eq!(name.to_str(), Ok(error.status_name()));
    }
}

#[test]
fn windows_are_summed() {
    let mut context = uploaded();
    let once = context.solve(&PROBLEM, &SolveOptions::new()).and_then(|plan| plan.gpu_load());
    let halves = [WEIGHTS.map(|weight| weight / 2.0), WEIGHTS.map(|weight| weight / 2.0)].concat();
    context.upload(&halves, SHAPE.windows(2)).expect("these are weights");
    let twice = context.solve(&PROBLEM, &SolveOptions::new()).and_then(|plan| plan.gpu_load());
    assert_eq!(once, twice);
}

#[test]
fn evaluation_of_what_is_no_placement() {
    let context = uploaded();
    let good: Vec<i64> = (0..16).map(|slot| slot % 8).collect();
    let report = context.evaluate(&PROBLEM, &good).expect("it is a placement");
    assert_eq!((report.strategy, report.duplicates), (None, 0));
    let layers = context.evaluate_layers(&PROBLEM, &good).expect("it is a placement");
    assert_eq!(layers.imbalance, [report.imbalance_mean]);
    for wrong in [-2, 8] {
        let mut bad = good.clone();
        bad[3] = wrong;
        let error = context.evaluate(&PROBLEM, &bad).expect_err("that is no expert");
        assert!(matches!(&error, Error::InvalidPlacement(text) if text.contains("slot 3")), "{error}");
    }
    assert!(matches!(context.evaluate(&PROBLEM, &[0_i32; 16]), Err(Error::InvalidPlacement(_))));
    assert!(matches!(context.evaluate(&PROBLEM, &good[..15]), Err(Error::InvalidArgument(_))));
}

#[test]
fn reserve_discards_and_serves() {
    let mut context = uploaded();
    context.solve(&PROBLEM, &SolveOptions::new()).expect("it can be solved");
    context.reserve::<f32>(SHAPE, &PROBLEM, &SolveOptions::new()).expect("there is memory");
    assert!(context.plan().is_none());
    assert!(matches!(context.solve(&PROBLEM, &SolveOptions::new()), Err(Error::InvalidState(_))));
    context.upload(&WEIGHTS, SHAPE).expect("these are weights");
    assert!(context.solve(&PROBLEM, &SolveOptions::new()).is_ok());
}

#[test]
fn backends_and_devices() {
    let library = library();
    let cpu = library.backend(DeviceKind::Cpu).expect("the CPU is known");
    assert_eq!((cpu.built, cpu.usable, cpu.num_devices), (true, Ok(()), 1));
    assert_eq!(library.device_count(DeviceKind::Cpu), Ok(1));
    assert!(library.device_name(Device::Cpu).is_ok_and(|name| !name.is_empty()));
    assert!(matches!(library.backend(DeviceKind::from_raw(99)), Err(Error::InvalidArgument(_))));
    let cuda = library.backend(DeviceKind::Cuda).expect("CUDA is known");
    let context = Context::new(&library, &ContextOptions::new().device(Device::Cuda(0)));
    assert_eq!(cuda.usable.is_ok(), context.is_ok());
    if let (Err(why), Err(error)) = (&cuda.usable, context) {
        assert_eq!(why.code(), error.code());
        assert!(error.text().contains("CUDA"), "{error}");
    }
    assert!(Context::new(&library, &ContextOptions::new().device(Device::Cuda(u32::MAX))).is_err());
    assert!(matches!(Context::new(&library, &ContextOptions::new().num_threads(0)), Err(Error::InvalidArgument(_))));
}

#[test]
fn names() {
    for &strategy in Strategy::ALL {
        assert_eq!(strategy.to_string().to_uppercase().parse(), Ok(strategy));
        assert_eq!(Strategy::from_raw(strategy.as_raw()), strategy);
    }
    let error = "fastest".parse::<Effort>().expect_err("there is no such effort");
    assert_eq!(error.to_string(), "effort is 'fastest', must be one of fast, normal, max");
    assert_eq!(Policy::from_raw(77), Policy::Other(77));
    assert_eq!((Policy::Other(77).as_raw(), Policy::Other(77).to_string()), (77, "77".into()));
    assert_eq!(["cpu", "cuda", "cuda:3"].map(str::parse), [Ok(Device::Cpu), Ok(Device::Cuda(0)), Ok(Device::Cuda(3))]);
    for name in ["", "tpu", "cpu:1", "cuda:", "cuda:-1"] {
        assert!(matches!(name.parse::<Device>(), Err(Error::InvalidArgument(_))), "{name}");
    }
    assert_eq!(Device::Cuda(3).to_string(), "cuda:3");
}
