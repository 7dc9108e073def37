//! The CUDA backend over an emulation of CUDA on the host: what it answers is what the CPU answers.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_precision_loss, clippy::float_cmp)]

mod emulated;
mod input;
mod invariants;

use std::process::ExitCode;
use std::sync::Arc;

use emulated::splits::{a_bad_placement, a_static_dispatch, split_calls, the_memory_for_splits};
use emulated::{DeviceVec, ENVIRONMENT, Emulation};
use eplb::{
    Context, Device, DeviceKind, Error, Map, Problem, SolveOptions, Strategy, Stream, WeightElement, WeightShape,
};
use input::{Input, Weights, context, strategies};
use invariants::{Maps, close, solve_and_check};
use libtest_mimic::{Arguments, Failed, Trial};

const WINDOWS: usize = 2;
const LAYERS: usize = 3;
const EXPERTS: usize = 64;
const PROBLEM: Problem = Problem::new(80, 16).num_nodes(2).num_groups(4);
const SHAPE: WeightShape = WeightShape::new(LAYERS, EXPERTS);

type Done = Result<(), Failed>;

macro_rules! ensure_eq {
    ($left:expr, $right:expr, $($what:tt)+) => {
        match (&$left, &$right) {
            (left, right) if left == right => {}
            (left, right) => return Err(format!("{}: {left:?}, not {right:?}", format!($($what)+)).into()),
        }
    };
}
pub(crate) use ensure_eq;

/// Weights as measured ones are: some experts far above the others.
fn tokens(layers: usize, seed: usize) -> Vec<i64> {
    let weight = |index: usize| {
        let noise = (index * 7919 + seed * 104_729 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
        (noise * noise / 65_536) as i64
    };
    (0..layers * EXPERTS).map(weight).collect()
}

/// Each strategy gets weights of another type.
fn input(strategy: Strategy) -> Input {
    let seed = strategy.as_raw().unsigned_abs();
    let tokens = tokens(WINDOWS * LAYERS, seed as usize);
    let weights = match seed % 4 {
        0 => Weights::F32(tokens.iter().map(|&weight| weight as f32).collect()),
        1 => Weights::F64(tokens.iter().map(|&weight| weight as f64).collect()),
        2 => Weights::I32(tokens.iter().map(|&weight| weight as i32).collect()),
        _ => Weights::I64(tokens),
    };
    let mut input = Input::new(weights, [WINDOWS, LAYERS, EXPERTS], 80, 16);
    (input.num_nodes, input.num_groups, input.seed, input.max_replicas) = (2, 4, seed.into(), 9);
    input
}

fn same_floats(name: &str, found: &[f64], expected: &[f64]) -> Done {
    if found.len() != expected.len() || !found.iter().zip(expected).all(|(&left, &right)| close(left, right)) {
        return Err(format!("{name}: {found:?}, not {expected:?}").into());
    }
    Ok(())
}

fn same_maps(found: &Maps, expected: &Maps) -> Done {
    ensure_eq!(found.physical_to_logical, expected.physical_to_logical, "physical_to_logical");
    ensure_eq!(found.logical_to_physical, expected.logical_to_physical, "logical_to_physical");
    ensure_eq!(found.replica_count, expected.replica_count, "replica_count");
    ensure_eq!(found.replica_slots, expected.replica_slots, "replica_slots");
    ensure_eq!(found.duplicates, expected.duplicates, "duplicates");
    same_floats("gpu_load", &found.gpu_load, &expected.gpu_load)?;
    same_floats("imbalance", &found.imbalance, &expected.imbalance)?;
    same_floats("off_home", &found.off_home, &expected.off_home)?;
    same_floats("off_home_bound", &found.off_home_bound, &expected.off_home_bound)?;
    same_floats("bound", &found.bound, &expected.bound)
}

fn on_the_cpu(input: &Input, strategy: Strategy) -> Result<Maps, Failed> {
    let mut context = context();
    input.upload(&mut context)?;
    Ok(solve_and_check(&mut context, input, strategy)?)
}

/// The experts in the slots of `weights`, by the CPU.
fn experts(weights: &[f32]) -> Result<Vec<i32>, Error> {
    let mut context = context();
    context.upload(weights, SHAPE)?;
    context.solve(&PROBLEM, &SolveOptions::new())?.physical_to_logical()
}

fn devices(emulation: &Emulation) -> Done {
    let backend = emulation.library.backend(DeviceKind::Cuda)?;
    ensure_eq!((backend.built, &backend.usable, backend.num_devices), (true, &Ok(()), 2), "{backend:?}");
    ensure_eq!(emulation.library.device_count(DeviceKind::Cuda), Ok(2), "device_count");
    let old = backend.driver_needed <= 0 || backend.driver_version < backend.driver_needed;
    ensure_eq!((old, backend.runtime_version > 0), (false, true), "{backend:?}");
    let input = input(Strategy::Best);
    let expected = on_the_cpu(&input, Strategy::Best)?;
    for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(1)] {
        ensure_eq!(emulation.library.device_name(device)?.is_empty(), false, "name of {device}");
        let mut context = emulation.context(device)?;
        input.upload(&mut context)?;
        same_maps(&solve_and_check(&mut context, &input, Strategy::Best)?, &expected)?;
    }
    match emulation.context(Device::Cuda(2)) {
        Err(Error::NoDevice(_)) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn host_calls(emulation: &Emulation, strategy: Strategy) -> Done {
    let input = input(strategy);
    let mut context = emulation.context(Device::Cuda(0))?;
    for round in 0..2 {
        input.upload(&mut context)?;
        let launches = emulation.count("launches");
        same_maps(&solve_and_check(&mut context, &input, strategy)?, &on_the_cpu(&input, strategy)?)?;
        // Else it was not the device that solved.
        ensure_eq!(emulation.count("launches") > launches, true, "a kernel in round {round}");
    }
    Ok(context.synchronize()?)
}

fn device_calls(emulation: &Emulation, strategy: Strategy) -> Done {
    let input = input(strategy);
    match &input.weights {
        Weights::F32(values) => device_calls_with(emulation, &input, strategy, values),
        Weights::F64(values) => device_calls_with(emulation, &input, strategy, values),
        Weights::I32(values) => device_calls_with(emulation, &input, strategy, values),
        Weights::I64(values) => device_calls_with(emulation, &input, strategy, values),
    }
}

fn device_calls_with<T>(emulation: &Emulation, input: &Input, strategy: Strategy, values: &[T]) -> Done
where
    T: WeightElement + Default,
{
    let expected = on_the_cpu(input, strategy)?;
    let (shape, problem, options) = (SHAPE.windows(WINDOWS), input.problem(), input.options(strategy));
    let (weights, stream) = (emulation.put(values), emulation.stream());
    let integers = [
        (Map::PhysicalToLogical, &expected.physical_to_logical),
        (Map::LogicalToPhysical, &expected.logical_to_physical),
        (Map::ReplicaCount, &expected.replica_count),
        (Map::ReplicaSlots, &expected.replica_slots),
        (Map::Duplicates, &expected.duplicates),
    ];
    let floats =
        [(Map::GpuLoad, &expected.gpu_load), (Map::Imbalance, &expected.imbalance), (Map::Bound, &expected.bound)];
    let mut wide: Vec<DeviceVec<'_, i64>> = integers.iter().map(|(_, map)| emulation.room(map.len())).collect();
    let mut narrow: Vec<DeviceVec<'_, i32>> = integers.iter().map(|(_, map)| emulation.room(map.len())).collect();
    let mut real: Vec<DeviceVec<'_, f64>> = floats.iter().map(|(_, map)| emulation.room(map.len())).collect();
    let mut context = emulation.context(Device::Cuda(0))?;
    context.reserve::<T>(shape, &problem, &options)?;

    let before = emulation.waits_and_allocations();
    context.upload_device(weights.slice(), shape, stream.get())?;
    let plan = context.solve_device(&problem, &options, stream.get())?;
    for ((map, _), (wide, narrow)) in integers.iter().zip(wide.iter_mut().zip(&mut narrow)) {
        plan.fetch_device(*map, &mut wide.slice_mut(), stream.get())?;
        plan.fetch_device(*map, &mut narrow.slice_mut(), stream.get())?;
    }
    for ((map, _), real) in floats.iter().zip(&mut real) {
        plan.fetch_device(*map, &mut real.slice_mut(), stream.get())?;
    }
    ensure_eq!(emulation.waits_and_allocations(), before, "waits and allocations of device calls");
    ensure_eq!(emulation.count("pending") > 0, true, "work that waits for its turn");

    context.synchronize()?;
    for ((map, expected), (wide, narrow)) in integers.iter().zip(wide.iter().zip(&narrow)) {
        ensure_eq!(wide.read(), **expected, "{map} as int64");
        ensure_eq!(narrow.read(), expected.iter().map(|&number| number as i32).collect::<Vec<_>>(), "{map} as int32");
    }
    for ((map, expected), real) in floats.iter().zip(&real) {
        same_floats(&map.to_string(), &real.read(), expected)?;
    }
    // The host sees what device calls have left.
    let plan = context.plan().ok_or("no plan after a solve")?;
    same_maps(&Maps::of(&plan)?, &expected)
}

fn a_bad_weight(emulation: &Emulation) -> Done {
    let good: Vec<f32> = tokens(LAYERS, 1).into_iter().map(|weight| weight as f32).collect();
    let (mut bad, mut zeroed) = (good.clone(), good.clone());
    // Both are in layer 1: the lower expert is reported.
    (bad[EXPERTS + 7], bad[EXPERTS + 9]) = (f32::NAN, -1.0);
    zeroed[EXPERTS..2 * EXPERTS].fill(0.0);
    let (expected, of_zeros) = (experts(&good)?, experts(&zeroed)?);
    let (good, bad, stream) = (emulation.put(&good), emulation.put(&bad), emulation.stream());
    let mut fetched = emulation.room::<i32>(expected.len());
    let mut context = emulation.context(Device::Cuda(0))?;
    context.reserve::<f32>(SHAPE, &PROBLEM, &SolveOptions::new())?;
    let mut solve = |context: &mut Context, weights: &DeviceVec<'_, f32>| {
        context.upload_device(weights.slice(), SHAPE, stream.get())?;
        let plan = context.solve_device(&PROBLEM, &SolveOptions::new(), stream.get())?;
        plan.fetch_device(Map::PhysicalToLogical, &mut fetched.slice_mut(), stream.get())?;
        let reported = context.synchronize();
        Ok::<_, Error>((reported, fetched.read()))
    };
    let (reported, experts) = solve(&mut context, &bad)?;
    match &reported {
        Err(Error::InvalidWeight(text)) if text.contains("layer 1, expert 7") && text.contains("NaN") => {}
        other => return Err(format!("{other:?}").into()),
    }
    ensure_eq!(context.synchronize(), Ok(()), "reported a second time");
    let slots = expected.len() / LAYERS;
    ensure_eq!(experts[..slots], expected[..slots], "layer 0");
    ensure_eq!(experts[slots..2 * slots], of_zeros[slots..2 * slots], "layer 1, solved as zeros");
    ensure_eq!(experts[2 * slots..], expected[2 * slots..], "layer 2");
    ensure_eq!(solve(&mut context, &good)?, (Ok(()), expected), "good weights after bad ones");
    Ok(())
}

fn the_reserve(emulation: &Emulation) -> Done {
    let values: Vec<f32> = tokens(2 * LAYERS, 2).into_iter().map(|weight| weight as f32).collect();
    let (small, large) = (emulation.put(&values[..LAYERS * EXPERTS]), emulation.put(&values));
    let expected = experts(&values[..LAYERS * EXPERTS])?;
    let mut fetched = emulation.room::<i32>(expected.len());
    let mut context = emulation.context(Device::Cuda(0))?;
    let (options, stream) = (SolveOptions::new(), Stream::default_stream());
    let refused = |result: Result<(), Error>, text: &str| match result {
        Err(Error::InvalidState(sentence)) if sentence.contains(text) => Ok(()),
        other => Err(Failed::from(format!("{other:?}"))),
    };
    refused(context.upload_device(small.slice(), SHAPE, stream), "eplb_context_reserve")?;
    refused(context.solve_device(&PROBLEM, &options, stream).map(drop), "eplb_")?;
    // Host calls need no reserve, and make none.
    context.upload(&values, WeightShape::new(2 * LAYERS, EXPERTS))?;
    context.solve(&PROBLEM, &options)?;
    refused(context.upload_device(small.slice(), SHAPE, stream), "eplb_context_reserve")?;

    context.reserve::<f32>(SHAPE, &PROBLEM, &options)?;
    ensure_eq!(context.plan().is_some(), false, "a plan after a reserve");
    refused(context.solve_device(&PROBLEM, &options, stream).map(drop), "eplb_upload_weights_device")?;
    context.upload_device(small.slice(), SHAPE, stream)?;
    context.solve_device(&PROBLEM, &options, stream)?;
    // What is larger is refused, and leaves what was there.
    let larger = WeightShape::new(2 * LAYERS, EXPERTS);
    refused(context.upload_device(large.slice(), larger, stream), "eplb_context_reserve")?;
    refused(context.solve_device(&Problem::new(1024, 16), &options, stream).map(drop), "eplb_context_reserve")?;
    let plan = context.plan().ok_or("no plan after a solve")?;
    plan.fetch_device(Map::PhysicalToLogical, &mut fetched.slice_mut(), stream)?;
    context.synchronize()?;
    ensure_eq!(fetched.read(), expected, "the placement");
    Ok(())
}

fn main() -> ExitCode {
    // Counts are of the whole process, so one test at a time.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let Some(emulation) = Emulation::named().map(Arc::new) else {
        let absent = Trial::test(format!("CUDA on an emulation: {ENVIRONMENT} names no library"), || Ok(()));
        return libtest_mimic::run(&arguments, vec![absent.with_ignored_flag(true)]).exit_code();
    };
    let test = |name: String, run: Box<dyn Fn(&Emulation) -> Done + Send>| {
        let emulation = Arc::clone(&emulation);
        Trial::test(name, move || run(&emulation))
    };
    let mut tests = vec![
        test("devices".into(), Box::new(devices)),
        test("a bad weight is reported once".into(), Box::new(a_bad_weight)),
        test("device calls need a reserve".into(), Box::new(the_reserve)),
    ];
    tests.push(test("a bad placement is reported once".into(), Box::new(a_bad_placement)));
    tests.push(test("device splits need memory".into(), Box::new(the_memory_for_splits)));
    tests.push(test("a static dispatch of what is on the device".into(), Box::new(a_static_dispatch)));
    for (bits, real, name) in [(32, true, "f32"), (64, true, "f64"), (32, false, "i32"), (64, false, "i64")] {
        tests.push(test(format!("splits/{name}"), Box::new(move |emulation| split_calls(emulation, bits, real))));
    }
    for strategy in strategies() {
        tests.push(test(format!("host calls/{strategy}"), Box::new(move |emulation| host_calls(emulation, strategy))));
        tests.push(test(
            format!("device calls/{strategy}"),
            Box::new(move |emulation| device_calls(emulation, strategy)),
        ));
    }
    libtest_mimic::run(&arguments, tests).exit_code()
}
