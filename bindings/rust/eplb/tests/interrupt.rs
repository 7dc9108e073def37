//! Calls are ended from other threads, and what that leaves; who may do so, and until when.
#![allow(unsafe_code)]

mod fake;
mod input;
mod programs;

use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use eplb::{
    Context, ContextOptions, Effort, Error, Interrupter, Library, Map, Problem, Result, SolveOptions,
    StaticDispatchOptions, Strategy, TransferOrder, WeightShape,
};
use eplb_sys::{ABI_MAJOR, ABI_MINOR};
use fake::Fake;
use input::{PROBLEM, SHAPE, WEIGHTS, context, uploaded};

/// A problem whose solve takes seconds, and what else is done with it a good part of one.
const LAYERS: usize = 128;
const SLOTS: usize = 1 << 14;
const LONG: Problem = Problem::new(SLOTS, 1 << 11);
const LONG_SHAPE: WeightShape = WeightShape::new(LAYERS, 3 << 12);

/// A context with a quickly solved plan, and that plan's placement.
fn solved_long() -> (Context, Vec<i32>) {
    let mut context = context();
    let weights: Vec<i32> =
        (0..LAYERS * (3 << 12)).map(|index| i32::try_from(index * 7919 % 1009).unwrap_or(0)).collect();
    context.upload(&weights, LONG_SHAPE).expect("these are weights");
    let plan = context.solve(&LONG, &SolveOptions::new().strategy(Strategy::Greedy)).expect("it can be solved");
    let placement = plan.physical_to_logical().expect("it was solved");
    (context, placement)
}

/// Makes a call that is asked to end from before its begin until it has returned.
fn interrupting<T>(interrupter: &Interrupter, call: impl FnOnce() -> Result<T>) -> Result<T> {
    let (begun, returned) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            begun.wait();
            while !returned.load(Ordering::Relaxed) {
                interrupter.interrupt();
                thread::yield_now();
            }
        });
        begun.wait();
        let answer = call();
        returned.store(true, Ordering::Relaxed);
        answer
    })
}

fn assert_ended<T: std::fmt::Debug>(call: &str, answer: &Result<T>) {
    assert!(matches!(answer, Err(Error::Interrupted(text)) if !text.is_empty()), "{call}: {answer:?}");
}

#[test]
fn what_may_cross_threads() {
    fn assert_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    assert_shared(&context().interrupter());
}

#[test]
fn long_calls_end_and_leave_all_as_it_was() {
    let (mut context, placement) = solved_long();
    let interrupter = context.interrupter();
    let before = context.plan().expect("it was solved").fingerprint();
    let long = SolveOptions::new().effort(Effort::Max);
    assert_ended("solve", &interrupting(&interrupter, || context.solve(&LONG, &long).map(|_| ())));
    assert_eq!(context.plan().expect("it is still there").fingerprint(), before);
    let plan = context.plan().expect("it is still there");
    assert_ended("report", &interrupting(&interrupter, || plan.report()));
    let mut bounds = [-7.0; LAYERS];
    assert_ended("fetch", &interrupting(&interrupter, || plan.fetch_into(Map::Bound, &mut bounds)));
    assert_eq!(bounds.map(f64::to_bits), [(-7.0_f64).to_bits(); LAYERS]);
    assert_ended("evaluate", &interrupting(&interrupter, || context.evaluate(&LONG, &placement)));
    assert_ended("evaluate_layers", &interrupting(&interrupter, || context.evaluate_layers(&LONG, &placement)));
    assert_ended("evaluate_windows", &interrupting(&interrupter, || context.evaluate_windows(&LONG, &placement)));
    let mut moved = placement.clone();
    moved.rotate_left(SLOTS);
    let plan_transfers = || context.plan_transfers(&LONG, TransferOrder::Buffered, &placement, &moved);
    assert_ended("plan_transfers", &interrupting(&interrupter, plan_transfers));
    assert_ended("split_prepare", &interrupting(&interrupter, || context.split_prepare(&LONG, &placement)));
    let few_ranks = StaticDispatchOptions::new().num_ranks(8).max_swaps(usize::MAX);
    let dispatch = || context.static_dispatch_over(&LONG, &placement, &few_ranks).map(|_| ());
    assert_ended("static_dispatch", &interrupting(&interrupter, dispatch));
    // Neither was prepared.
    assert!(matches!(context.static_dispatch(&few_ranks), Err(Error::InvalidState(_))));
    assert_eq!(context.plan().expect("it is still there").fingerprint(), before);
    let rebalance = || context.rebalance(&placement, &LONG, &long.target(1.0)).map(|_| ());
    assert_ended("rebalance", &interrupting(&interrupter, rebalance));
    assert!(context.evaluate(&LONG, &placement).is_ok());
}

#[test]
fn the_same_answers_afterwards() {
    let (mut context, _) = solved_long();
    let long = SolveOptions::new().effort(Effort::Max);
    let interrupter = context.interrupter();
    assert_ended("solve", &interrupting(&interrupter, || context.solve(&LONG, &long).map(|_| ())));
    let answer = |context: &mut Context| {
        context.upload(&WEIGHTS, SHAPE)?;
        context.solve(&PROBLEM, &SolveOptions::new())?.replica_slots::<i32>()
    };
    assert_eq!(answer(&mut context), answer(&mut self::context()));
}

#[test]
fn without_a_call_nothing_happens() {
    let mut context = uploaded();
    let interrupters = [context.interrupter(), context.interrupter().clone()];
    for interrupter in &interrupters {
        interrupter.interrupt();
    }
    assert!(context.solve(&PROBLEM, &SolveOptions::new()).is_ok());
    drop(context);
    for interrupter in &interrupters {
        interrupter.interrupt();
    }
}

#[test]
fn an_interrupter_does_not_keep_the_context_but_a_request_does() {
    // Each request takes a while, and a context that is destroyed meanwhile, or before, ends the process.
    let body = "
        #include <stdlib.h>
        #include <unistd.h>
        static int requests, contexts;
        int eplb_context_create(int **context, void *options, void *err) {
          *context = calloc(1, sizeof(int));
          __atomic_fetch_add(&contexts, 1, __ATOMIC_SEQ_CST);
          return 0;
        }
        void eplb_context_destroy(int *context) {
          if (__atomic_fetch_add(context, 1, __ATOMIC_SEQ_CST) != 0) abort();
          __atomic_fetch_sub(&contexts, 1, __ATOMIC_SEQ_CST);
        }
        void eplb_context_interrupt(int *context) {
          if (__atomic_fetch_add(context, 1, __ATOMIC_SEQ_CST) != 0) abort();
          __atomic_fetch_add(&requests, 1, __ATOMIC_SEQ_CST);
          usleep(2000);
          if (__atomic_fetch_sub(context, 1, __ATOMIC_SEQ_CST) != 1) abort();
        }
        int eplb_device_count(int kind, int *count, void *err) {
          *count = kind ? __atomic_load_n(&requests, __ATOMIC_SEQ_CST) : __atomic_load_n(&contexts, __ATOMIC_SEQ_CST);
          return 0;
        }
        ";
    let own = ["create", "destroy", "interrupt"].map(|verb| format!("eplb_context_{verb}"));
    let rest = fake::all().into_iter().filter(|name| !own.contains(name) && name != "eplb_device_count");
    let path = Fake::new("requests").version(ABI_MAJOR << 16 | ABI_MINOR).body(body).functions(rest, 0).build();
    let library = Library::load_from(path).expect("it has every function");
    let contexts = || library.device_count(eplb::DeviceKind::Cpu).expect("it is a count");
    let requests = || library.device_count(eplb::DeviceKind::Cuda).expect("it is a count");
    for round in 0..50 {
        let before = requests();
        let context = Context::new(&library, &ContextOptions::new()).expect("it makes contexts");
        let interrupter = context.interrupter();
        let request = thread::spawn(move || {
            interrupter.interrupt();
            interrupter
        });
        while round % 2 == 0 && requests() == before {
            thread::yield_now();
        }
        drop(context);
        let interrupter = request.join().expect("the thread ends");
        assert_eq!(contexts(), 0, "the interrupter keeps a context");
        let before = requests();
        interrupter.interrupt();
        assert_eq!(requests(), before, "a context that is gone is asked");
    }
}

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(child: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn alarm(seconds: c_uint) -> c_uint;
    fn _exit(status: c_int) -> !;
}

#[test]
fn a_forked_child_can_drop_everything() {
    let (mut context, over) = (uploaded(), Arc::new(AtomicBool::new(false)));
    let interrupter = context.interrupter();
    // The fork comes in the middle of requests.
    let requests = thread::spawn({
        let (interrupter, over) = (interrupter.clone(), Arc::clone(&over));
        move || {
            while !over.load(Ordering::Relaxed) {
                interrupter.interrupt();
            }
        }
    });
    for _ in 0..50 {
        // SAFETY: the child calls this crate, which takes no lock that another thread may have had, and ends.
        let child = unsafe { fork() };
        if child == 0 {
            // SAFETY: a child that hangs is killed.
            unsafe { alarm(20) };
            let refused = context.solve(&PROBLEM, &SolveOptions::new()).map(|_| ());
            drop(context);
            interrupter.interrupt();
            // SAFETY: ends the process.
            unsafe { _exit(c_int::from(!matches!(refused, Err(Error::InvalidState(_))))) }
        }
        let mut status = -1;
        // SAFETY: writes one number.
        assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child failed, or hung");
    }
    over.store(true, Ordering::Relaxed);
    requests.join().expect("the thread ends");
    assert!(context.solve(&PROBLEM, &SolveOptions::new()).is_ok());
}
