//! A scheduler that follows a trace: for each window it places the experts again and says which expert's parameters move to which GPU.
//!
//! ```sh
//! cargo run --example scheduler -- SLOTS GPUS TRACE.csv [TRACE.csv ...]
//! ```
//!
//! A line of a trace is a layer, a column an expert: tokens routed to it. Windows are apart by an empty line, or files of
//! their own.

mod trace;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use eplb::{Context, ContextOptions, Library, Map, Problem, SolveOptions, WeightShape};
use trace::Trace;

/// One expert's parameters to transfer.
struct Move {
    layer: usize,
    expert: i32,
    from: Option<usize>,
    to: usize,
}

/// The experts that each GPU holds, for one layer.
fn held(layer: &[i32], gpus: usize) -> Vec<BTreeSet<i32>> {
    let slots_of_gpu = (layer.len() / gpus).max(1);
    layer.chunks(slots_of_gpu).map(|slots| slots.iter().copied().collect()).collect()
}

/// What the new placement has on a GPU and the old one had not.
fn moves(old: &[i32], new: &[i32], slots: usize, gpus: usize) -> Vec<Move> {
    let mut moves = Vec::new();
    for (layer, (old, new)) in old.chunks(slots).zip(new.chunks(slots)).enumerate() {
        let (old, new) = (held(old, gpus), held(new, gpus));
        for (to, (had, has)) in old.iter().zip(&new).enumerate() {
            moves.extend(has.difference(had).map(|&expert| Move {
                layer,
                expert,
                from: old.iter().position(|gpu| gpu.contains(&expert)),
                to,
            }));
        }
    }
    moves
}

fn follow(trace: &Trace, slots: usize, gpus: usize, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    let (problem, options) = (Problem::new(slots, gpus), SolveOptions::new());
    let shape = WeightShape::new(trace.layers, trace.experts);
    // Two buffers that take turns: nothing is allocated from window to window.
    let mut current = vec![0_i32; trace.layers * slots];
    let mut next = current.clone();
    for (window, weights) in trace.windows.iter().enumerate() {
        context.upload(weights, shape)?;
        let stale = if window > 0 { Some(context.evaluate(&problem, &current)?) } else { None };
        let plan = context.solve(&problem, &options)?;
        plan.fetch_into(Map::PhysicalToLogical, &mut next)?;
        let report = plan.report()?;
        match stale {
            None => writeln!(out, "window 0: imbalance {:.4}", report.imbalance_mean)?,
            Some(stale) => {
                let moves = moves(&current, &next, slots, gpus);
                writeln!(
                    out,
                    "window {window}: imbalance {:.4} with the last placement, {:.4} after {} moves",
                    stale.imbalance_mean,
                    report.imbalance_mean,
                    moves.len()
                )?;
                for Move { layer, expert, from, to } in moves {
                    let from = from.map_or_else(|| "nowhere".into(), |gpu| format!("GPU {gpu}"));
                    writeln!(out, "  layer {layer}: expert {expert} from {from} to GPU {to}")?;
                }
            }
        }
        std::mem::swap(&mut current, &mut next);
    }
    Ok(())
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [slots, gpus, files @ ..] = arguments else {
        return Err("usage: scheduler SLOTS GPUS TRACE.csv [TRACE.csv ...]".into());
    };
    let number = |word: &String| word.parse().map_err(|_| format!("'{word}' is no count"));
    let (slots, gpus) = (number(slots)?, number(gpus)?);
    let mut out = BufWriter::new(io::stdout().lock());
    follow(&Trace::read(files)?, slots, gpus, &mut out)?;
    Ok(out.flush()?)
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
