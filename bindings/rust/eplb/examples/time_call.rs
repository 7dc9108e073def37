//! Times one call as the repository's benchmarks do in every language: upload, solve and fetch of the placement as int32
//! into a buffer that is kept, `BEST` at normal effort, 288 slots on 32 GPUs, one thread.
//!
//! ```sh
//! cargo run --release --example time_call -- TRACE.csv [--seconds 2]
//! ```
//!
//! Prints one line of JSON: the median.

mod trace;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use eplb::{Context, ContextOptions, Effort, Library, Map, Problem, SolveOptions, Strategy, WeightShape};
use trace::Trace;

const SLOTS: usize = 288;
const GPUS: usize = 32;

/// Microseconds of each run.
fn measure(trace: &Trace, seconds: Duration) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut context = Context::new(&Library::load()?, &ContextOptions::new().num_threads(1))?;
    let options = SolveOptions::new().strategy(Strategy::Best).effort(Effort::Normal);
    let (problem, shape) = (Problem::new(SLOTS, GPUS), WeightShape::new(trace.layers, trace.experts));
    let weights = trace.windows.first().ok_or("there are no weights")?;
    let mut placement = vec![0_i32; trace.layers * SLOTS];
    let mut once = || {
        context.upload(weights, shape)?;
        context.solve(&problem, &options)?.fetch_into(Map::PhysicalToLogical, &mut placement)
    };
    // The first call sizes the context's memory.
    once()?;
    let (start, mut runs) = (Instant::now(), Vec::new());
    while runs.is_empty() || start.elapsed() < seconds {
        let begin = Instant::now();
        once()?;
        runs.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    Ok(runs)
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    let upper = runs.len() / 2;
    let lower = runs.len().saturating_sub(1) / 2;
    runs.get(lower).zip(runs.get(upper)).map_or(f64::NAN, |(low, high)| f64::midpoint(*low, *high))
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let usage = "usage: time_call TRACE.csv [--seconds X]";
    let (file, seconds) = match arguments {
        [file] => (file, 2.0),
        [file, flag, seconds] | [flag, seconds, file] if flag == "--seconds" => {
            (file, seconds.parse().map_err(|_| usage)?)
        }
        _ => return Err(usage.into()),
    };
    let seconds = Duration::try_from_secs_f64(seconds)?;
    let runs = measure(&Trace::read(std::slice::from_ref(file))?, seconds)?;
    let count = runs.len();
    println!(r#"{{"language":"rust","microseconds":{:.3},"runs":{count}}}"#, median(runs));
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
