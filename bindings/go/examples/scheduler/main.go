// Scheduler places the experts of one window of measured weights, sees how the placement does in the next window, places
// again, and prints which expert's parameters must then be moved to which GPU.
//
//	go run ./examples/scheduler -slots 288 -gpus 32 WINDOW.csv WINDOW.csv ...
//
// A window is a CSV with a row per layer and a column per expert. Moves go to standard output, one a line, the story to
// standard error.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"

	"eplb"
	"eplb/internal/trace"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "scheduler:", err)
		os.Exit(2)
	}
}

func run(arguments []string, moves, story io.Writer) error {
	var problem eplb.Problem
	var options eplb.SolveOptions
	flags := flag.NewFlagSet("scheduler", flag.ContinueOnError)
	flags.SetOutput(story)
	flags.IntVar(&problem.NumSlots, "slots", 0, "slots of a layer over all GPUs")
	flags.IntVar(&problem.NumGPUs, "gpus", 0, "GPUs")
	flags.IntVar(&problem.NumNodes, "nodes", 1, "nodes")
	flags.IntVar(&problem.NumGroups, "groups", 1, "groups of experts")
	flags.StringVar((*string)(&options.Strategy), "strategy", "", "strategy; empty: the library's default")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() < 2 {
		return fmt.Errorf("two windows at least are needed, not %d", flags.NArg())
	}
	library, err := eplb.Load("")
	if err != nil {
		return err
	}
	context, err := library.NewContext(eplb.ContextOptions{})
	if err != nil {
		return err
	}
	defer context.Close()

	out := bufio.NewWriter(moves)
	defer out.Flush()
	var old *eplb.Plan
	for _, path := range flags.Args() {
		window, err := trace.Read(path)
		if err != nil {
			return err
		}
		weights := eplb.NewWeights(window.Weights, window.Layers, window.Experts)
		plan, err := context.Solve(weights, problem, options)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if old == nil {
			report, err := plan.Report()
			if err != nil {
				return err
			}
			fmt.Fprintf(story, "%s: imbalance %.4f\n", path, report.ImbalanceMean)
		} else if err := compare(context, problem, old, plan, path, out, story); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		old = plan
	}
	return nil
}

// compare tells what keeping the old placement would cost under the weights that are uploaded now, and what the new one
// costs: its moves.
func compare(context *eplb.Context, problem eplb.Problem, old, plan *eplb.Plan, path string,
	out, story io.Writer) error {
	kept, err := context.Evaluate(problem, old.PhysicalToLogical)
	if err != nil {
		return err
	}
	report, err := plan.Report()
	if err != nil {
		return err
	}
	total := 0
	for layer := range plan.NumLayers {
		for gpu := range plan.NumGPUs {
			for _, expert := range missing(old.GPU(layer, gpu), plan.GPU(layer, gpu)) {
				fmt.Fprintf(out, "layer %d: expert %d to GPU %d\n", layer, expert, gpu)
				total++
			}
		}
	}
	fmt.Fprintf(story, "%s: imbalance %.4f with the old placement, %.4f with the new one, %d moves\n",
		path, kept.ImbalanceMean, report.ImbalanceMean, total)
	return nil
}

// missing lists the experts that a GPU is to hold and does not hold yet, each once.
func missing(held, wanted []int32) []int32 {
	var moves []int32
	for _, expert := range wanted {
		if !slices.Contains(held, expert) && !slices.Contains(moves, expert) {
			moves = append(moves, expert)
		}
	}
	return moves
}
