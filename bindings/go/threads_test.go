package eplb

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// everywhere runs work in many goroutines at once, every other one locked to a thread of its own.
func everywhere(count int, work func(worker int)) {
	var group sync.WaitGroup
	for worker := range count {
		group.Go(func() {
			if worker%2 == 0 {
				runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			}
			work(worker)
		})
	}
	group.Wait()
}

// A context for each goroutine, one library for all: everyone gets the answer that one alone gets, and their own errors.
func TestManyGoroutines(t *testing.T) {
	problem := Problem{NumSlots: 40, NumGPUs: 8}
	expected := make([]*Plan, 4)
	for seed := range expected {
		var err error
		if expected[seed], err = newContext(t).Solve(NewWeights(sample(3, 32, uint64(seed)), 3, 32), problem, SolveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	everywhere(16, func(worker int) {
		context, err := library.NewContext(ContextOptions{NumThreads: 1 + worker%3})
		if err != nil {
			t.Error(err)
			return
		}
		defer context.Close()
		for round := range 20 {
			seed := (worker + round) % len(expected)
			p, err := context.Solve(NewWeights(sample(3, 32, uint64(seed)), 3, 32), problem, SolveOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			equal(t, "placement", expected[seed].PhysicalToLogical, p.PhysicalToLogical)
			slots := 41 + worker%7
			runtime.Gosched()
			refused(t, context.SolveUploaded(Problem{NumSlots: slots, NumGPUs: 8}, SolveOptions{}), ErrInvalidArgument, fmt.Sprintf("num_slots is %d,", slots))
		}
	})
}

// One context that is handed from thread to thread, created on one, closed on another.
func TestOneContextOnManyThreads(t *testing.T) {
	in := inputOf(sample(3, 32, 5), [3]int{1, 3, 32}, Problem{NumSlots: 40, NumGPUs: 8}, SolveOptions{Strategy: StrategyBest})
	const threads = 6
	contexts := make(chan *Context, 1)
	ids, placements := make(chan int, threads), make(chan []int32, threads)
	first, err := library.NewContext(ContextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	contexts <- first
	var waiting, group sync.WaitGroup
	waiting.Add(threads)
	for range threads {
		group.Go(func() {
			runtime.LockOSThread()
			waiting.Done()
			waiting.Wait() // so that all of the threads live at once and none is used twice
			context := <-contexts
			defer func() { contexts <- context }()
			ids <- syscall.Gettid()
			p, err := context.Solve(in.weights, in.problem, in.options)
			if err != nil {
				t.Error(err)
				return
			}
			checkPlan(t, context, in, p)
			placements <- p.PhysicalToLogical
		})
	}
	group.Wait()
	close(ids)
	close(placements)
	seen := map[int]bool{}
	for id := range ids {
		seen[id] = true
	}
	if len(seen) != threads {
		t.Errorf("%d threads, wanted %d", len(seen), threads)
	}
	var one []int32
	for placement := range placements {
		if one != nil {
			equal(t, "placement", one, placement)
		}
		one = placement
	}
	everywhere(1, func(int) { (<-contexts).Close() })
}

// While a call runs, others are refused and Close waits.
func TestOneCallAtATime(t *testing.T) {
	context := newContext(t)
	context.mutex.Lock() // what a running call holds
	for name, err := range everyCall(context) {
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Status != ErrInvalidState || !strings.Contains(refusal.Message, "in use by another call") {
			t.Errorf("%s: %v", name, err)
		}
	}
	closed := make(chan error)
	go func() { closed <- context.Close() }()
	select {
	case <-closed:
		t.Error("Close has not waited")
	case <-time.After(20 * time.Millisecond):
	}
	context.mutex.Unlock()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// Calls and Close from everywhere at once: each call works or is refused, and nothing is freed twice or used afterwards.
func TestCloseAmongCalls(t *testing.T) {
	counted, freed := counting()
	for range 20 {
		context, err := counted.NewContext(ContextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		everywhere(8, func(worker int) {
			if worker == 5 {
				context.Close()
			}
			for name, err := range everyCall(context) {
				ofTheCPU := strings.HasSuffix(name, "Device") && errors.Is(err, ErrInvalidArgument)
				if err != nil && !errors.Is(err, ErrInvalidState) && !ofTheCPU {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	if freed.Load() != 20 {
		t.Errorf("20 contexts, %d freed", freed.Load())
	}
}

// The garbage collector at work and signals at every thread change nothing: Go interrupts its threads by signals, those
// that are inside the library too.
func TestGarbageCollectionAndSignals(t *testing.T) {
	problem := Problem{NumSlots: 96, NumGPUs: 16}
	expected, err := newContext(t).Solve(NewWeights(sample(8, 64, 3), 8, 64), problem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR1)
	defer signal.Stop(arrived)
	stop := make(chan struct{})
	var storm sync.WaitGroup
	storm.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-arrived:
			default:
				syscall.Kill(syscall.Getpid(), syscall.SIGUSR1)
				syscall.Kill(syscall.Getpid(), syscall.SIGURG)
				runtime.GC()
			}
		}
	})
	everywhere(4, func(worker int) {
		context, err := library.NewContext(ContextOptions{NumThreads: 2})
		if err != nil {
			t.Error(err)
			return
		}
		defer context.Close()
		for range 10 {
			// Weights that nothing but the call refers to.
			p, err := context.Solve(NewWeights(sample(8, 64, 3), 8, 64), problem, SolveOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			equal(t, "placement", expected.PhysicalToLogical, p.PhysicalToLogical)
		}
	})
	close(stop)
	storm.Wait()
}

func residentBytes(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestNothingLeaks(t *testing.T) {
	weights := sample(58, 256, 1)
	cycles := func(count int) {
		for i := range count {
			context, err := library.NewContext(ContextOptions{NumThreads: 2})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := context.Solve(NewWeights(weights, 58, 256), Problem{NumSlots: 288, NumGPUs: 32}, SolveOptions{Strategy: StrategyGreedy}); err != nil {
				t.Fatal(err)
			}
			refused(t, context.SolveUploaded(Problem{NumSlots: 289, NumGPUs: 32}, SolveOptions{}), ErrInvalidArgument, "289")
			// Every other one is left to the garbage collector.
			if i%2 == 0 {
				context.Close()
			} else if i%10 == 1 {
				runtime.GC()
			}
		}
		runtime.GC()
		runtime.GC()
	}
	cycles(60)
	before := residentBytes(t)
	cycles(200)
	// One context holds more than half a MiB, so 100 that were lost would be seen.
	if grown := residentBytes(t) - before; grown > 24<<20 {
		t.Errorf("%d MiB more", grown>>20)
	}
}

func TestThreadsGiveTheSameAnswer(t *testing.T) {
	weights := NewWeights(sample(7, 64, 9), 7, 64)
	var one []int32
	for _, threads := range []int{1, 2, 3, 16, 1e9, math.MaxInt} { // no more are started than layers and processors need
		context, err := library.NewContext(ContextOptions{NumThreads: threads})
		if err != nil {
			t.Fatal(err)
		}
		p, err := context.Solve(weights, Problem{NumSlots: 80, NumGPUs: 16}, SolveOptions{})
		context.Close()
		if err != nil {
			t.Fatal(err)
		}
		if one != nil && !slices.Equal(one, p.PhysicalToLogical) {
			t.Errorf("%d threads give another answer", threads)
		}
		one = p.PhysicalToLogical
	}
}
