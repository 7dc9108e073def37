// Scheduler watches a trace of measured weights: from window to window it changes the placement by few moves, goes on when
// GPUs die, and prints who sends which expert to whom.
//
//	go run ./examples/scheduler -slots 288 -gpus 32 -max-moves 16 -kill 2:3,17 TRACE.csv ...
//
// A window is a CSV with a row per layer and a column per expert; windows are apart by an empty line, or files of their own.
// Transfers go to standard output, one a line, the story to standard error.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"eplb"
	"eplb/internal/trace"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "scheduler:", err)
		os.Exit(2)
	}
}

// deaths are the GPUs that die before each window.
type deaths map[int][]int

func (d deaths) String() string { return "" }

// Set reads WINDOW:GPU,GPU.
func (d deaths) Set(text string) error {
	window, gpus, found := strings.Cut(text, ":")
	number, err := strconv.Atoi(window)
	if !found || err != nil {
		return errors.New("must be WINDOW:GPU,GPU")
	}
	for word := range strings.SplitSeq(gpus, ",") {
		gpu, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("%q is no GPU", word)
		}
		d[number] = append(d[number], gpu)
	}
	return nil
}

// scheduler is what it knows of its GPUs: how many slots each has, and which expert each slot holds, -1 where nothing can be
// read.
type scheduler struct {
	context   *eplb.Context
	problem   eplb.Problem
	options   eplb.SolveOptions
	slots     []int
	placement []int32
	transfers io.Writer
	story     io.Writer
}

func run(arguments []string, transfers, story io.Writer) error {
	s, dying := &scheduler{story: story}, deaths{}
	flags := flag.NewFlagSet("scheduler", flag.ContinueOnError)
	flags.SetOutput(story)
	flags.IntVar(&s.problem.NumSlots, "slots", 0, "slots of a layer over all GPUs")
	flags.IntVar(&s.problem.NumGPUs, "gpus", 0, "GPUs")
	flags.IntVar(&s.problem.NumNodes, "nodes", 1, "nodes")
	flags.StringVar((*string)(&s.options.Effort), "effort", "", "fast, normal or max; empty: the library's default")
	budget := flags.Int("max-moves", -1, "most moves of a layer from one window to the next; -1: what 1.02 takes")
	flags.Var(dying, "kill", "`WINDOW:GPU,GPU`: before this window, these GPUs die with what they hold")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *budget >= 0 {
		s.options.MaxMoves = eplb.AtMost(*budget)
	}
	windows, err := trace.Read(flags.Args()...)
	if err != nil {
		return err
	}
	if len(windows.Windows) < 2 {
		return fmt.Errorf("two windows at least are needed, not %d", len(windows.Windows))
	}
	library, err := eplb.Load("")
	if err != nil {
		return err
	}
	if s.context, err = library.NewContext(eplb.ContextOptions{}); err != nil {
		return err
	}
	defer s.context.Close()
	out := bufio.NewWriter(transfers)
	defer out.Flush()
	s.transfers = out
	return s.watch(windows, dying)
}

func (s *scheduler) watch(windows *trace.Trace, dying deaths) error {
	for number, window := range windows.Windows {
		weights := eplb.NewWeights(window, windows.Layers, windows.Experts)
		if number == 0 {
			if err := s.begin(weights); err != nil {
				return err
			}
			continue
		}
		if err := s.lose(dying[number]); err != nil {
			return err
		}
		if err := s.rebalance(number, weights, len(dying[number]) > 0); err != nil {
			return fmt.Errorf("window %d: %w", number, err)
		}
	}
	return nil
}

// begin places experts on empty GPUs.
func (s *scheduler) begin(weights eplb.Weights) error {
	plan, err := s.context.Solve(weights, s.problem, eplb.SolveOptions{Effort: s.options.Effort})
	if err != nil {
		return err
	}
	report, err := plan.Report()
	if err != nil {
		return err
	}
	s.placement = plan.PhysicalToLogical
	s.slots = make([]int, plan.NumGPUs)
	for gpu := range s.slots {
		s.slots[gpu] = plan.NumSlots / plan.NumGPUs
	}
	fmt.Fprintf(s.story, "window 0: imbalance %.4f\n", report.ImbalanceMean)
	return nil
}

// lose takes GPUs out, with all that they hold.
func (s *scheduler) lose(gpus []int) error {
	if len(gpus) == 0 {
		return nil
	}
	perGPU := s.problem.NumSlots / s.problem.NumGPUs
	for _, gpu := range gpus {
		if gpu < 0 || gpu >= len(s.slots) {
			return fmt.Errorf("GPU %d cannot die: there are GPUs 0 to %d", gpu, len(s.slots)-1)
		}
		s.slots[gpu] = 0
		for first := gpu * perGPU; first < len(s.placement); first += s.problem.NumSlots {
			for slot := range perGPU {
				s.placement[first+slot] = -1
			}
		}
	}
	fmt.Fprintf(s.story, "GPUs %v are dead\n", gpus)
	return s.context.UploadCluster(eplb.Cluster{Slots: s.slots})
}

// rebalance changes the placement for the weights that have just come. A loss is repaired whatever it takes.
func (s *scheduler) rebalance(number int, weights eplb.Weights, loss bool) error {
	options := s.options
	if loss {
		options.MaxMoves = eplb.Limit{}
	}
	plan, err := s.context.Rebalance(weights, s.placement, s.problem, options)
	if err != nil {
		return err
	}
	report, err := plan.Report()
	if err != nil {
		return err
	}
	stale := "unknown, as experts are lost"
	if kept, err := s.context.Evaluate(s.problem, s.placement); err == nil {
		stale = fmt.Sprintf("%.4f", kept.ImbalanceMean)
	} else if !errors.Is(err, eplb.ErrInvalidPlacement) {
		return err
	}
	fmt.Fprintf(s.story, "window %d: imbalance %s before, %.4f after %d moves, %d of them forced, in %d rounds\n",
		number, stale, report.ImbalanceMean, report.Moves, report.MovesForced, report.Rounds)
	s.print(plan)
	// The engine carries the transfers out; then this is what its GPUs hold.
	s.placement = plan.PhysicalToLogical
	return nil
}

// print writes a line for each slot that gets other contents.
func (s *scheduler) print(plan *eplb.Plan) {
	for transfer := range plan.Transfers().All() {
		from := "storage"
		if transfer.SourceGPU >= 0 {
			from = fmt.Sprintf("GPU %d", transfer.SourceGPU)
		}
		fmt.Fprintf(s.transfers, "layer %d, round %d: expert %d from %s to GPU %d\n",
			transfer.Layer, transfer.Round, transfer.Expert, from, transfer.GPU)
	}
}
