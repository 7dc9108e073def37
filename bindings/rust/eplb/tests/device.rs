//! Device calls on a context on the CPU, which refuses them and touches nothing. On a device: tools/emulated_cuda.rs.
#![allow(unsafe_code)]

mod input;

use eplb::{DeviceSlice, DeviceSliceMut, Error, Map, Problem, SolveOptions, SplitOptions, Stream, WeightShape};
use input::context;

fn is_of_a_cpu_context<T>(result: Result<T, Error>) {
    match result {
        Err(Error::InvalidArgument(text)) => assert!(text.contains("CPU"), "{text}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a CPU context took device memory"),
    }
}

#[test]
fn a_cpu_context_refuses_device_calls() {
    let mut context = context();
    let weights = [4.0_f32, 3.0, 2.0, 1.0];
    let (shape, problem, options) = (WeightShape::new(1, 4), Problem::new(4, 2), SolveOptions::new());
    let stream = Stream::default_stream();
    // SAFETY: a context on the CPU refuses before it reads anything.
    let slice = unsafe { DeviceSlice::from_raw_parts(weights.as_ptr(), weights.len()) };
    is_of_a_cpu_context(context.upload_device(slice, shape, stream));
    context.upload(&weights, shape).expect("these are weights");
    is_of_a_cpu_context(context.upload_device(slice, shape, stream));
    let experts = [0_i32; 4];
    // SAFETY: as above.
    let placement = unsafe { DeviceSlice::from_raw_parts(experts.as_ptr(), experts.len()) };
    is_of_a_cpu_context(context.upload_placement_device(placement, 1, 4, stream));
    is_of_a_cpu_context(context.solve_device(&problem, &options, stream));
    is_of_a_cpu_context(context.split_prepare_device(&problem, placement, stream));
    is_of_a_cpu_context(context.split_prepare_plan_device(&problem, stream));
    is_of_a_cpu_context(context.split_device(&SplitOptions::new(), stream));
    let mut buffer = [-7_i32; 4];
    let plan = context.solve(&problem, &options).expect("it can be solved");
    // SAFETY: a context on the CPU refuses before it writes anything.
    let mut target = unsafe { DeviceSliceMut::from_raw_parts(buffer.as_mut_ptr(), buffer.len()) };
    is_of_a_cpu_context(plan.fetch_device(Map::PhysicalToLogical, &mut target, stream));
    assert_eq!(buffer, [-7; 4]);
    context.split_prepare_plan(&problem).expect("it was solved");
    let split = context.split(&SplitOptions::new()).expect("it can be split");
    is_of_a_cpu_context(split.fetch_device(Map::Share, &mut target, stream));
    let plan = context.plan().expect("splits leave it alone");
    assert_eq!(plan.physical_to_logical::<i32>().map(|experts| experts.len()), Ok(4));
}

#[test]
fn slices_say_what_they_are() {
    let mut elements = [1_i64, 2, 3];
    // SAFETY: nothing is read through them.
    let (slice, none) = unsafe {
        (DeviceSlice::from_raw_parts(elements.as_ptr(), 3), DeviceSlice::<i64>::from_raw_parts(elements.as_ptr(), 0))
    };
    assert_eq!((slice.as_ptr(), slice.len(), slice.is_empty(), none.is_empty()), (elements.as_ptr(), 3, false, true));
    // SAFETY: nothing is written through it.
    let target = unsafe { DeviceSliceMut::from_raw_parts(elements.as_mut_ptr(), 3) };
    assert_eq!((target.len(), target.is_empty()), (3, false));
    // SAFETY: nothing is queued on it.
    assert_eq!(unsafe { Stream::from_raw(elements.as_mut_ptr().cast()) }.as_raw(), elements.as_mut_ptr().cast());
    assert!(Stream::default_stream().as_raw().is_null());
}
