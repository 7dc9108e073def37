// Eplb-timing measures upload, solve and fetch of the physical-to-logical map, as int32 into a reused buffer, through this
// package, and prints one line of JSON for bench/, which compares it with the same calls in C:
//
//	go run ./cmd/eplb-timing -seconds 5 TRACE.csv
//	{"language":"go","microseconds":5400.2,"runs":920}
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"eplb"
	"eplb/internal/trace"
)

type result struct {
	Language     string  `json:"language"`
	Microseconds float64 `json:"microseconds"` // median
	Runs         int     `json:"runs"`
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "eplb-timing:", err)
		os.Exit(2)
	}
}

func run(arguments []string, out io.Writer) error {
	var problem eplb.Problem
	var options eplb.SolveOptions
	flags := flag.NewFlagSet("eplb-timing", flag.ContinueOnError)
	seconds := flags.Float64("seconds", 1, "for how long, at least 5 runs")
	flags.IntVar(&problem.NumSlots, "slots", 288, "slots of a layer over all GPUs")
	flags.IntVar(&problem.NumGPUs, "gpus", 32, "GPUs")
	flags.StringVar((*string)(&options.Strategy), "strategy", "", "strategy; empty: the library's default, best")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("one trace is needed, not %d", flags.NArg())
	}
	read, err := trace.Read(flags.Arg(0))
	if err != nil {
		return err
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
	weights := eplb.NewWindows(slices.Concat(read.Windows...), len(read.Windows), read.Layers, read.Experts)
	times, err := measure(context, weights, problem, options, time.Duration(*seconds*float64(time.Second)))
	if err != nil {
		return err
	}
	slices.Sort(times)
	return json.NewEncoder(out).Encode(result{"go", float64(times[len(times)/2].Nanoseconds()) / 1000, len(times)})
}

func measure(context *eplb.Context, weights eplb.Weights, problem eplb.Problem, options eplb.SolveOptions,
	enough time.Duration) ([]time.Duration, error) {
	var placement []int32
	once := func() (err error) {
		if err = context.Upload(weights); err != nil {
			return err
		}
		if err = context.SolveUploaded(problem, options); err != nil {
			return err
		}
		placement, err = context.FetchInts(eplb.MapPhysicalToLogical, placement)
		return err
	}
	// Once for nothing: the first call makes room.
	if err := once(); err != nil {
		return nil, err
	}
	var times []time.Duration
	for begin := time.Now(); len(times) < 5 || time.Since(begin) < enough; {
		start := time.Now()
		if err := once(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}
