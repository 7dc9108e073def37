//! Through eplb-sys, what the safe crate's types rule out: counts below zero.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use eplb_sys as sys;

use crate::input::{Weights, library};
use crate::vectors::Vector;

/// Uploads and solves; the status and the sentence.
pub fn solve(vector: &Vector) -> (i32, String) {
    // SAFETY: it is the library that the crate eplb loaded and checked.
    let lib = unsafe { sys::Eplb::new(library().path()).expect("it was loaded before") };
    let mut error = sys::eplb_error { code: 0, text: [0; 252] };
    // SAFETY: structs go through their init, weights are as long as is said, the context is destroyed once.
    let status = unsafe { upload_and_solve(&lib, vector, &raw mut error) };
    // SAFETY: the library terminates its text.
    let text = unsafe { CStr::from_ptr(error.text.as_ptr()) };
    (status, text.to_string_lossy().into_owned())
}

unsafe fn upload_and_solve(lib: &sys::Eplb, vector: &Vector, error: *mut sys::eplb_error) -> i32 {
    let mut problem = MaybeUninit::<sys::eplb_problem>::uninit();
    let mut options = MaybeUninit::<sys::eplb_solve_options>::uninit();
    let mut context = ptr::null_mut();
    let [windows, layers, experts] = vector.shape.map(|size| size as i64);
    let (pointer, length, dtype) = elements(&vector.weights);
    // SAFETY: as the caller promises.
    unsafe {
        assert_eq!(lib.eplb_problem_init(problem.as_mut_ptr(), size_of_val(&problem) as i64, error), sys::EPLB_OK);
        assert_eq!(
            lib.eplb_solve_options_init(options.as_mut_ptr(), size_of_val(&options) as i64, error),
            sys::EPLB_OK
        );
        let (problem, options) = (problem.assume_init_mut(), options.assume_init_mut());
        problem.num_slots = vector.number("num_slots");
        problem.num_gpus = vector.number("num_gpus");
        problem.num_nodes = vector.number("num_nodes");
        problem.num_groups = vector.number("num_groups");
        problem.policy = vector.policy().as_raw();
        options.max_replicas = vector.number("max_replicas");
        assert_eq!(lib.eplb_context_create(&raw mut context, ptr::null(), error), sys::EPLB_OK);
        let mut status = lib.eplb_upload_weights(context, pointer, length, dtype, windows, layers, experts, error);
        if status == sys::EPLB_OK {
            status = lib.eplb_solve(context, problem, options, error);
        }
        lib.eplb_context_destroy(context);
        status
    }
}

fn elements(weights: &Weights) -> (*const c_void, i64, sys::eplb_dtype) {
    match weights {
        Weights::F32(values) => (values.as_ptr().cast(), values.len() as i64, sys::EPLB_FLOAT32),
        Weights::F64(values) => (values.as_ptr().cast(), values.len() as i64, sys::EPLB_FLOAT64),
        Weights::I32(values) => (values.as_ptr().cast(), values.len() as i64, sys::EPLB_INT32),
        Weights::I64(values) => (values.as_ptr().cast(), values.len() as i64, sys::EPLB_INT64),
    }
}
