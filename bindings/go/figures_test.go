package eplb

import (
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// inEveryType makes weights of each type, in one and in several windows.
func inEveryType(layers, experts int) map[string]Weights {
	values := sample(3*layers, experts, 11)
	return map[string]Weights{
		"float32":            NewWeights(values[:layers*experts], layers, experts),
		"float64":            NewWeights(as[float64](values[:layers*experts]), layers, experts),
		"int32":              NewWeights(as[int32](values[:layers*experts]), layers, experts),
		"int64":              NewWeights(as[int64](values[:layers*experts]), layers, experts),
		"float32 in windows": NewWindows(values, 3, layers, experts),
		"float64 in windows": NewWindows(as[float64](values), 3, layers, experts),
		"int32 in windows":   NewWindows(as[int32](values), 3, layers, experts),
		"int64 in windows":   NewWindows(as[int64](values), 3, layers, experts),
	}
}

// withoutTimes is a report without what depends on where it was computed.
func withoutTimes(report Report) Report {
	report.Elapsed, report.ContextBytes = 0, 0
	return report
}

// What is read after the context has gone on, or is gone, is what would have been read at once.
func TestFiguresStayAsTheyWere(t *testing.T) {
	others := NewWeights(sample(2, 16, 3), 2, 16)
	goneOn := map[string]func(*Context) error{
		"upload": func(c *Context) error { return c.Upload(others) },
		"solve": func(c *Context) error {
			return c.SolveUploaded(Problem{NumSlots: 72, NumGPUs: 8}, SolveOptions{Strategy: StrategyGreedy})
		},
		"reserve": func(c *Context) error {
			return c.Reserve(Float32, WeightShape{Layers: 1, Experts: 8}, pairsProblem, SolveOptions{})
		},
		"close": (*Context).Close,
	}
	problem := Problem{NumSlots: 80, NumGPUs: 16, NumNodes: 2, NumGroups: 4, Bound: BoundThreshold}
	options := SolveOptions{Strategy: StrategyLPTSwap}
	for kind, weights := range inEveryType(3, 64) {
		context := newContext(t)
		atOnce, err := context.Solve(weights, problem, options)
		if err != nil {
			t.Fatal(err)
		}
		report, load := reportOf(atOnce), slices.Clone(atOnce.GPULoad())
		for name, change := range goneOn {
			context := newContext(t)
			late, err := context.Solve(weights, problem, options)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(context); err != nil {
				t.Fatal(err)
			}
			equal(t, kind+", load after "+name, load, late.GPULoad())
			if got := reportOf(late); !reflect.DeepEqual(withoutTimes(report), withoutTimes(got)) || got.Elapsed <= 0 {
				t.Errorf("%s, after %s: %+v, want %+v", kind, name, got, report)
			}
		}
	}
}

// The plan has a copy: the caller's slice may change right after the solve.
func TestFiguresAreOfTheWeightsThatWereSolved(t *testing.T) {
	context, values := newContext(t), slices.Clone(pairs)
	p, err := context.Solve(NewWeights(values, 1, 8), pairsProblem, SolveOptions{Effort: EffortMax})
	if err != nil {
		t.Fatal(err)
	}
	clear(values)
	if err := context.Upload(NewWeights(values, 1, 8)); err != nil {
		t.Fatal(err)
	}
	near(t, "largest load", 590.0/3, slices.Max(p.GPULoad()))
	if report := reportOf(p); report.ImbalanceMean < 1.08 || report.Strategy != StrategyBest {
		t.Errorf("%+v", report)
	}
}

// A plan that nobody has read does not keep its context.
func TestAPlanDoesNotKeepItsContext(t *testing.T) {
	p, err := newContextOf(t).Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		runtime.GC()
		if p.source.session.Value() == nil {
			break
		}
	}
	if p.source.session.Value() != nil {
		t.Error("the context is still there")
	}
	if report := reportOf(p); report.ImbalanceMean < 1.08 {
		t.Errorf("%+v", report)
	}
}

// newContextOf makes one that nothing else refers to.
func newContextOf(t *testing.T) *Context {
	t.Helper()
	context, err := library.NewContext(ContextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return context
}

// Goroutines that read one plan at once see one report, and a call on its context is not refused for it.
func TestFiguresAreReadByAnyGoroutine(t *testing.T) {
	context := newContext(t)
	weights := NewWeights(sample(20, 64, 1), 20, 64)
	for range 20 {
		p, err := context.Solve(weights, Problem{NumSlots: 80, NumGPUs: 16}, SolveOptions{Strategy: StrategyGreedy})
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if report := reportOf(p); report.LayerImbalance[0] < 1 || len(p.GPULoad()) != 20*16 {
					t.Errorf("%+v", report)
				}
			})
		}
		if err := context.Upload(weights); err != nil {
			t.Error(err)
		}
		group.Wait()
	}
}
