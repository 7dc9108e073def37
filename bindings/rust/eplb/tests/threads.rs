//! Contexts move between threads, many work at once, and a library may be asked from anywhere.

mod input;

use std::sync::{Arc, Mutex};
use std::thread;

use eplb::{Context, ContextOptions, Library, Plan, Problem, SolveOptions, WeightShape};
use input::{context, library};

fn assert_send<T: Send>() {}
fn assert_sync<T: Sync>() {}

fn solve(context: &mut Context, seed: i64) -> Vec<i32> {
    let weights: Vec<i64> = (0..4 * 64).map(|index| (index * 7919 + seed * 104_729) % 1009).collect();
    context.upload(&weights, WeightShape::new(4, 64)).expect("these are weights");
    let plan = context.solve(&Problem::new(72, 8), &SolveOptions::new()).expect("it can be solved");
    plan.physical_to_logical().expect("it was solved")
}

#[test]
fn what_may_cross_threads() {
    assert_send::<Context>();
    assert_send::<Plan<'_>>();
    assert_send::<Library>();
    assert_sync::<Library>();
    assert_send::<eplb::Error>();
    assert_sync::<eplb::Error>();
    assert_sync::<eplb::LoadError>();
}

#[test]
fn a_context_moves() {
    let mut context = context();
    let here = solve(&mut context, 1);
    let (mut context, there) = thread::spawn(move || {
        let answer = solve(&mut context, 1);
        (context, answer)
    })
    .join()
    .expect("the thread ends");
    assert_eq!(here, there);
    assert_eq!(here, solve(&mut context, 1));
}

#[test]
fn many_contexts_at_once() {
    let library = library();
    let expected: Vec<_> = (0..4).map(|seed| solve(&mut context(), seed)).collect();
    thread::scope(|scope| {
        for (seed, expected) in (0..4).zip(&expected) {
            let library = &library;
            scope.spawn(move || {
                let options = ContextOptions::new().num_threads(2);
                let mut context = Context::new(library, &options).expect("a context can be had");
                for _ in 0..8 {
                    assert_eq!(solve(&mut context, seed), *expected);
                }
            });
        }
    });
}

#[test]
fn more_threads_than_can_work_are_not_started() {
    let expected = solve(&mut context(), 3);
    for threads in [1_000_000_000, usize::MAX] {
        let options = ContextOptions::new().num_threads(threads);
        let mut context = Context::new(&library(), &options).expect("a context can be had");
        assert_eq!(solve(&mut context, 3), expected);
    }
}

#[test]
fn one_context_for_all_behind_a_mutex() {
    let shared = Arc::new(Mutex::new(context()));
    let expected = solve(&mut context(), 5);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || solve(&mut shared.lock().expect("no thread panics"), 5))
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().expect("the thread ends"), expected);
    }
}

#[test]
fn a_context_outlives_its_library_handle() {
    let library = library();
    let mut context = Context::new(&library, &ContextOptions::new()).expect("a context can be had");
    drop(library);
    assert_eq!(solve(&mut context, 2).len(), 4 * 72);
}
