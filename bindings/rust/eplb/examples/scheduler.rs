//! A scheduler that watches a trace: from window to window it changes the placement by few moves, goes on when GPUs die, and
//! prints who sends which expert to whom.
//!
//! ```sh
//! cargo run --example scheduler -- [--max-moves N] [--kill WINDOW:GPU,GPU] SLOTS GPUS TRACE.csv [TRACE.csv ...]
//! ```
//!
//! A line of a trace is a layer, a column an expert: tokens routed to it. Windows are apart by an empty line, or files of
//! their own. `--max-moves` is the budget of a layer from one window to the next; `--kill 2:3,17` lets GPUs 3 and 17 die
//! before window 2.

mod trace;

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use eplb::{
    Cluster, Context, ContextOptions, Error as Refusal, Library, Map, Plan, Problem, SolveOptions, Transfer,
    WeightShape,
};
use trace::Trace;

/// What the command line says.
#[derive(Default)]
struct Arguments {
    budget: Option<usize>,
    /// Window and GPU.
    deaths: Vec<(usize, usize)>,
    slots: usize,
    gpus: usize,
    files: Vec<String>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        const USAGE: &str =
            "usage: scheduler [--max-moves N] [--kill WINDOW:GPU,GPU] SLOTS GPUS TRACE.csv [TRACE.csv ...]";
        let (mut parsed, mut rest) = (Self::default(), Vec::new());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--max-moves" => parsed.budget = Some(number(&words.next().ok_or(USAGE)?)?),
                "--kill" => parsed.deaths.extend(deaths(&words.next().ok_or(USAGE)?)?),
                _ => rest.push(word),
            }
        }
        let [slots, gpus, files @ ..] = rest.as_slice() else { return Err(USAGE.into()) };
        (parsed.slots, parsed.gpus, parsed.files) = (number(slots)?, number(gpus)?, files.to_vec());
        if parsed.gpus == 0 || parsed.slots % parsed.gpus != 0 {
            return Err(format!("{slots} slots are no multiple of {gpus} GPUs").into());
        }
        Ok(parsed)
    }
}

fn number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|_| format!("'{word}' is no count"))
}

/// `2:3,17`: before window 2, GPUs 3 and 17.
fn deaths(word: &str) -> Result<Vec<(usize, usize)>, String> {
    let (window, gpus) = word.split_once(':').ok_or(format!("'{word}' is no WINDOW:GPU,GPU"))?;
    let window = number(window)?;
    gpus.split(',').map(|gpu| Ok((window, number(gpu)?))).collect()
}

/// The GPUs as the scheduler knows them, and what they hold.
struct Fleet {
    problem: Problem,
    slots_of_gpu: Vec<usize>,
    /// `[layers, slots]`: the expert in each slot, -1 where nothing can be read.
    placement: Vec<i32>,
}

impl Fleet {
    /// Takes a GPU out, with all that it held.
    fn lose(&mut self, gpu: usize, slots: usize) -> Result<(), String> {
        let (gpus, places) = (self.slots_of_gpu.len(), slots / self.slots_of_gpu.len());
        *self.slots_of_gpu.get_mut(gpu).ok_or(format!("GPU {gpu} cannot die: there are {gpus}"))? = 0;
        for layer in self.placement.chunks_mut(slots) {
            layer[gpu * places..][..places].fill(-1);
        }
        Ok(())
    }
}

fn follow(arguments: &Arguments, trace: &Trace, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let &Arguments { slots, gpus, budget, .. } = arguments;
    let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    let shape = WeightShape::new(trace.layers, trace.experts);
    let mut fleet = Fleet {
        problem: Problem::new(slots, gpus),
        slots_of_gpu: vec![slots / gpus; gpus],
        placement: vec![-1; trace.layers * slots],
    };
    for (window, weights) in trace.windows.iter().enumerate() {
        context.upload(weights, shape)?;
        if window == 0 {
            let plan = context.solve(&fleet.problem, &SolveOptions::new())?;
            plan.fetch_into(Map::PhysicalToLogical, &mut fleet.placement)?;
            writeln!(out, "window 0: imbalance {:.4}", plan.report()?.imbalance_mean)?;
            continue;
        }
        let dead: Vec<_> = arguments.deaths.iter().filter(|death| death.0 == window).map(|death| death.1).collect();
        for &gpu in &dead {
            fleet.lose(gpu, slots)?;
        }
        if !dead.is_empty() {
            context.upload_cluster(&Cluster::new(gpus).slots(fleet.slots_of_gpu.iter().copied()))?;
            writeln!(out, "window {window}: GPUs {dead:?} are dead")?;
        }
        let stale = imbalance(&context, &fleet)?;
        // A loss is repaired whatever it takes; otherwise the budget holds.
        let options =
            budget.filter(|_| dead.is_empty()).map_or(SolveOptions::new(), |n| SolveOptions::new().max_moves(n));
        let plan = context.rebalance(&fleet.placement, &fleet.problem, &options)?;
        let report = plan.report()?;
        writeln!(
            out,
            "window {window}: imbalance {stale} before, {:.4} after {} moves, {} of them forced, in {} rounds",
            report.imbalance_mean, report.moves, report.moves_forced, report.rounds
        )?;
        print_transfers(&plan, out)?;
        // The engine carries the transfers out; then this is what its GPUs hold.
        plan.fetch_into(Map::PhysicalToLogical, &mut fleet.placement)?;
    }
    Ok(())
}

/// What the placement costs under the weights that have just come, if all experts can still be read somewhere.
fn imbalance(context: &Context, fleet: &Fleet) -> eplb::Result<String> {
    match context.evaluate(&fleet.problem, &fleet.placement) {
        Ok(report) => Ok(format!("{:.4}", report.imbalance_mean)),
        Err(Refusal::InvalidPlacement(_)) => Ok("unknown (experts are lost)".into()),
        Err(error) => Err(error),
    }
}

/// One line for each slot that gets other contents.
fn print_transfers(plan: &Plan<'_>, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    for Transfer { layer, expert, gpu, source_gpu, round, .. } in plan.transfers()? {
        let from = source_gpu.map_or("storage".into(), |source| format!("GPU {source}"));
        writeln!(out, "  layer {layer}, round {round}: expert {expert} from {from} to GPU {gpu}")?;
    }
    Ok(())
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let mut out = BufWriter::new(io::stdout().lock());
    follow(&arguments, &Trace::read(&arguments.files)?, &mut out)?;
    Ok(out.flush()?)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
