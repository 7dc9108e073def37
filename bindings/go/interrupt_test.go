package eplb

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// endedBy checks that ctx has ended a call or kept it from beginning.
func endedBy(t *testing.T, name string, err error, ctx context.Context) {
	t.Helper()
	var refusal *Error
	if !errors.Is(err, ErrInterrupted) || !errors.Is(err, ctx.Err()) || !errors.As(err, &refusal) {
		t.Errorf("%s: got %v, want an interruption by %v", name, err, ctx.Err())
	}
}

// cancelling is the library, but one function of C begins with a cancel.
func cancelling(name string, cancel func()) *Library {
	other := *library
	field := reflect.ValueOf(&other.call).Elem().FieldByName(name)
	call := reflect.ValueOf(field.Interface())
	field.Set(reflect.MakeFunc(field.Type(), func(arguments []reflect.Value) []reflect.Value {
		cancel()
		return call.Call(arguments)
	}))
	return &other
}

// A problem whose solve takes seconds, and what else is done with it a good part of one.
const longLayers, longExperts = 128, 3 << 12

var (
	longProblem = Problem{NumSlots: 1 << 14, NumGPUs: 1 << 11}
	longOptions = SolveOptions{Effort: EffortMax}
	longWeights = sync.OnceValue(func() Weights {
		return NewWeights(sample(longLayers, longExperts, 1), longLayers, longExperts)
	})
)

// solvedLong is a context with a quickly solved plan for the long weights, and that plan's placement.
func solvedLong(t *testing.T, library *Library) (*Context, []int32) {
	t.Helper()
	c, err := library.NewContext(ContextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Upload(longWeights()); err != nil {
		t.Fatal(err)
	}
	if err := c.SolveUploaded(longProblem, SolveOptions{Strategy: StrategyGreedy}); err != nil {
		t.Fatal(err)
	}
	placement, err := c.FetchInts(MapPhysicalToLogical, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, placement
}

// longCalls by the function of C in which they take long.
var longCalls = map[string]func(c *Context, placement []int32) error{
	"Solve": func(c *Context, _ []int32) error { return c.SolveUploaded(longProblem, longOptions) },
	"Evaluate": func(c *Context, placement []int32) error {
		report, err := c.Evaluate(longProblem, placement)
		return untouched(err, reflect.DeepEqual(report, Report{}))
	},
	"EvaluateWindows": func(c *Context, placement []int32) error {
		windows, err := c.EvaluateWindows(longProblem, placement)
		return untouched(err, windows == nil)
	},
	"FetchReport": func(c *Context, _ []int32) error {
		report, err := c.Report()
		return untouched(err, reflect.DeepEqual(report, Report{}))
	},
	"FetchMap": func(c *Context, _ []int32) error {
		before := slices.Repeat([]float64{-7}, longLayers)
		bounds := slices.Clone(before)
		got, err := c.FetchFloats(MapBound, bounds[:1])
		return untouched(err, len(got) == 1 && slices.Equal(bounds, before))
	},
	"SplitPrepare": func(c *Context, placement []int32) error { return c.PrepareSplit(longProblem, placement) },
	"StaticDispatch": func(c *Context, placement []int32) error {
		return c.StaticDispatchOver(longProblem, placement, StaticDispatchOptions{NumRanks: 8, MaxSwaps: -1})
	},
	"PlanTransfers": func(c *Context, placement []int32) error {
		moved := append(slices.Clone(placement[longProblem.NumSlots:]), placement[:longProblem.NumSlots]...)
		transfers, report, err := c.PlanTransfers(longProblem, "", placement, moved)
		return untouched(err, transfers == nil && reflect.DeepEqual(report, Report{}))
	},
}

// untouched joins to an error that outputs are not as they were.
func untouched(err error, same bool) error {
	if err != nil && !same {
		return errors.Join(err, errors.New("outputs have changed"))
	}
	return err
}

// A call that would take long ends while it runs, and leaves the context as it was: the plan, and what comes next.
func TestLongCallsEndWithTheirContext(t *testing.T) {
	for name, call := range longCalls {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c, placement := solvedLong(t, cancelling(name, func() {}))
			c.library.call = cancelling(name, cancel).call
			err := call(c.WithContext(ctx), placement)
			endedBy(t, name, err, ctx)
			if text := fmt.Sprint(err); text != "eplb: the call was interrupted: context canceled" {
				t.Error(text)
			}
			after, err := c.FetchInts(MapPhysicalToLogical, nil)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "placement", placement, after)
			// Not bound to ctx, the same context works on, with the answers that it always had.
			c.library.call = library.call
			if _, err := c.Report(); err != nil {
				t.Error(err)
			}
			again, err := c.Solve(pairsWeights(), pairsProblem, SolveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := newContext(t).Solve(pairsWeights(), pairsProblem, SolveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "placement", fresh.ReplicaSlots, again.ReplicaSlots)
		})
	}
}

// Calls that are made of several: what ends is the solve, and what was uploaded stays.
func TestSolveAndRebalanceEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, placement := solvedLong(t, cancelling("Solve", func() {}))
	c.library.call = cancelling("Solve", cancel).call
	plan, err := c.WithContext(ctx).Solve(longWeights(), longProblem, longOptions)
	endedBy(t, "Solve", err, ctx)
	if plan != nil {
		t.Error("there is a plan")
	}
	ctx, cancel = context.WithCancel(t.Context())
	c.library.call = cancelling("Solve", cancel).call
	plan, err = c.WithContext(ctx).Rebalance(longWeights(), placement, longProblem, SolveOptions{Effort: EffortMax, Target: NoTarget})
	endedBy(t, "Rebalance", err, ctx)
	if plan != nil {
		t.Error("there is a plan")
	}
	c.library.call = library.call
	if _, err := c.Evaluate(longProblem, placement); err != nil {
		t.Error(err)
	}
}

// A plan's report, from its context and from one of its own, which takes longer.
func TestAPlansReportEnds(t *testing.T) {
	for _, name := range []string{"FetchReport", "Evaluate"} {
		ctx, cancel := context.WithCancel(t.Context())
		c, _ := solvedLong(t, cancelling(name, cancel))
		p, err := c.Solve(longWeights(), longProblem, SolveOptions{Strategy: StrategyGreedy})
		if err != nil {
			t.Fatal(err)
		}
		if name == "Evaluate" {
			c.Close()
		}
		report, err := p.ReportContext(ctx)
		endedBy(t, name, err, ctx)
		if !reflect.DeepEqual(report, Report{}) {
			t.Errorf("%+v", report)
		}
		// It can be asked again; a ctx that is done is not asked anything.
		if report := reportOf(p); report.ImbalanceMean < 1 {
			t.Errorf("%+v", report)
		}
		_, err = p.ReportContext(ctx)
		endedBy(t, name, err, ctx)
	}
}

func TestADeadlineEndsACall(t *testing.T) {
	c, _ := solvedLong(t, library)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := c.WithContext(ctx).SolveUploaded(longProblem, longOptions)
	endedBy(t, "SolveUploaded", err, ctx)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Where ctx is done already, C is not called.
func TestNothingBeginsWhenTheContextIsDone(t *testing.T) {
	c := newContext(t)
	before, err := c.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	bound := c.WithContext(ctx)
	for name, err := range everyCall(bound) {
		endedBy(t, name, err, ctx)
	}
	after, err := c.Plan()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "placement", before.ReplicaSlots, after.ReplicaSlots)
	if err := bound.Close(); err != nil {
		t.Error(err)
	}
	refused(t, c.Upload(pairsWeights()), ErrInvalidState, "the context is closed")
	var nothing *Context
	refused(t, nothing.WithContext(ctx).Upload(pairsWeights()), ErrInvalidState, "the context is nil")
}

// What a call waits for does not keep it from ending.
func TestWaitingEnds(t *testing.T) {
	c := newContext(t)
	p, err := c.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	// What a plan holds that reads its report.
	c.reading <- struct{}{}
	c.mutex.Lock()
	endedBy(t, "Upload", c.WithContext(ctx).Upload(pairsWeights()), ctx)
	c.mutex.Unlock()
	<-c.reading
	// What somebody holds who reads the report of the same plan.
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	p.turn <- struct{}{}
	_, err = p.ReportContext(ctx)
	endedBy(t, "ReportContext", err, ctx)
	<-p.turn
	if _, err := p.ReportContext(t.Context()); err != nil {
		t.Error(err)
	}
}

// A request ends the call that it is for, never the next one, and never comes for a handle that was freed.
func TestRequestsEndWithTheirCall(t *testing.T) {
	var requests, running atomic.Int64
	var freed sync.Map
	watched := *library
	watched.call.ContextInterrupt = func(handle cHandle) {
		requests.Add(1)
		running.Add(1)
		defer running.Add(-1)
		time.Sleep(betweenRequests / 10) // so that calls do end meanwhile
		if _, is := freed.Load(handle); is {
			t.Error("a request for a context that was freed")
		}
		library.call.ContextInterrupt(handle)
	}
	watched.call.ContextCreate = func(handle *cHandle, options *cContextOptions, err *cError) int32 {
		status := library.call.ContextCreate(handle, options, err)
		freed.Delete(*handle)
		return status
	}
	watched.call.ContextDestroy = func(handle cHandle) {
		freed.Store(handle, true)
		library.call.ContextDestroy(handle)
	}
	weights, problem := NewWeights(sample(4, 64, 2), 4, 64), Problem{NumSlots: 72, NumGPUs: 8}
	for i := range 300 {
		c, err := watched.NewContext(ContextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range i {
				runtime.Gosched()
			}
			cancel()
		}()
		if _, err := c.WithContext(ctx).Solve(weights, problem, SolveOptions{}); err != nil {
			endedBy(t, "Solve", err, ctx)
		}
		if running.Load() != 0 {
			t.Fatal("a request goes on after its call")
		}
		if _, err := c.Solve(weights, problem, SolveOptions{}); err != nil {
			t.Fatal("the next call:", err)
		}
		<-ctx.Done()
		c.Close()
	}
	before := requests.Load()
	time.Sleep(5 * betweenRequests)
	if before == 0 || requests.Load() != before {
		t.Errorf("%d requests while calls ran, %d after them", before, requests.Load()-before)
	}
}

func TestContextsLeaveNoGoroutines(t *testing.T) {
	c := newContext(t)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	bound := c.WithContext(ctx)
	for range 100 {
		if _, err := bound.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for range 100 {
		short, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		bound.ctx = short
		_, err := bound.Solve(pairsWeights(), pairsProblem, SolveOptions{})
		if err != nil {
			endedBy(t, "Solve", err, short)
		}
		cancel()
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// A context that nothing can end costs no more than none.
func TestWithoutAContextNothingIsWatched(t *testing.T) {
	c := newContext(t)
	for _, ctx := range []context.Context{nil, context.Background(), context.WithoutCancel(t.Context())} {
		bound := c.WithContext(ctx)
		if err := bound.acquire(); err != nil || bound.unwatch != nil {
			t.Error(ctx, err)
		}
		bound.release()
	}
	allocations := testing.AllocsPerRun(100, func() {
		if c.acquire() == nil {
			c.release()
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
