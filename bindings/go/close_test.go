package eplb

import (
	"errors"
	"reflect"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

func TestClose(t *testing.T) {
	context := newContext(t)
	p, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := context.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, each := range []*Context{context, nil, {}} {
		for name, err := range everyCall(each) {
			if !errors.Is(err, ErrInvalidState) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
	}
	refused(t, context.Upload(pairsWeights()), ErrInvalidState, "the context is closed")
	// What was fetched stays.
	if len(p.LogicalToPhysical()) != 8*9 || p.GPU(0, 7)[0] != p.Layer(0)[14] {
		t.Errorf("%+v", p)
	}
	var nothing *Context
	if err := errors.Join(nothing.Close(), new(Context).Close()); err != nil {
		t.Error(err)
	}
}

func TestEveryCallIsInEveryCall(t *testing.T) {
	calls, methods := everyCall(nil), reflect.TypeFor[*Context]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if _, is := calls[name]; !is && name != "Close" && name != "WithContext" {
			t.Errorf("everyCall lacks %s", name)
		}
	}
}

func everyCall(c *Context) map[string]error {
	all := map[string]error{}
	all["Upload"] = c.Upload(pairsWeights())
	all["UploadCluster"] = c.UploadCluster(Cluster{Slots: []int{2, 2, 2, 2, 2, 2, 2, 2}})
	all["UploadPrices"] = c.UploadPrices([]float64{1}, 1, 1)
	all["UploadWindowWeights"] = c.UploadWindowWeights([]float64{1})
	all["UploadPlacement"] = c.UploadPlacement(naive, 1, 16)
	_, all["Solve"] = c.Solve(pairsWeights(), pairsProblem, SolveOptions{})
	_, all["Rebalance"] = c.Rebalance(pairsWeights(), naive, pairsProblem, SolveOptions{})
	all["SolveUploaded"] = c.SolveUploaded(pairsProblem, SolveOptions{})
	_, all["Plan"] = c.Plan()
	_, all["Report"] = c.Report()
	_, all["Evaluate"] = c.Evaluate(pairsProblem, naive)
	_, all["EvaluateWindows"] = c.EvaluateWindows(pairsProblem, naive)
	_, all["BoundWindows"] = c.BoundWindows(pairsProblem, naive)
	_, _, all["PlanTransfers"] = c.PlanTransfers(pairsProblem, "", naive, naive)
	_, all["Fingerprint"] = c.Fingerprint()
	_, all["FetchInts"] = c.FetchInts(MapReplicaCount, nil)
	_, all["FetchFloats"] = c.FetchFloats(MapBound, nil)
	_, all["MapShape"] = c.MapShape(MapBound)
	all["PrepareSplit"] = c.PrepareSplit(pairsProblem, naive)
	_, all["Split"] = c.Split(pairsWeights(), SplitOptions{})
	all["SplitUploaded"] = c.SplitUploaded(SplitOptions{})
	_, all["StaticDispatch"] = c.StaticDispatch(pairsWeights(), StaticDispatchOptions{})
	all["StaticDispatchUploaded"] = c.StaticDispatchUploaded(StaticDispatchOptions{})
	all["StaticDispatchOver"] = c.StaticDispatchOver(pairsProblem, naive, StaticDispatchOptions{})
	all["Synchronize"] = c.Synchronize()
	all["ForgetCluster"] = c.ForgetCluster()
	all["ForgetPrices"] = c.ForgetPrices()
	all["ForgetWindowWeights"] = c.ForgetWindowWeights()
	all["ForgetPlacement"] = c.ForgetPlacement()
	all["Reserve"] = c.Reserve(Float32, pairsShape, pairsProblem, SolveOptions{})
	for name, err := range everyDeviceCall(c) {
		all[name] = err
	}
	return all
}

// counting is the library with a count of the contexts that it has freed.
func counting() (*Library, *atomic.Int64) {
	var freed atomic.Int64
	counted := *library
	counted.call.ContextDestroy = func(context cHandle) {
		freed.Add(1)
		library.call.ContextDestroy(context)
	}
	return &counted, &freed
}

// A copied struct is not another owner: there is one handle, which is freed once.
func TestACopyIsTheSameContext(t *testing.T) {
	counted, freed := counting()
	context, err := counted.NewContext(ContextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	copied, another := *context, *context.WithContext(t.Context())
	if err := another.Upload(pairsWeights()); err != nil {
		t.Fatal(err)
	}
	if err := context.SolveUploaded(pairsProblem, SolveOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := copied.Plan(); err != nil {
		t.Fatal(err)
	}
	context.mutex.Lock() // what a running call holds
	refused(t, copied.Upload(pairsWeights()), ErrInvalidState, "in use by another call")
	refused(t, another.Upload(pairsWeights()), ErrInvalidState, "in use by another call")
	context.mutex.Unlock()
	copied.Close()
	for _, each := range []*Context{context, &copied, &another} {
		refused(t, each.Upload(pairsWeights()), ErrInvalidState, "the context is closed")
		each.Close()
	}
	if freed.Load() != 1 {
		t.Errorf("freed %d times", freed.Load())
	}
}

func TestACopyKeepsTheContext(t *testing.T) {
	counted, freed := counting()
	copied := func() Context {
		context, err := counted.NewContext(ContextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return *context.WithContext(t.Context())
	}()
	for range 10 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	if _, err := copied.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil || freed.Load() != 0 {
		t.Error(err, freed.Load())
	}
}

func TestAForgottenContextIsFreedOnce(t *testing.T) {
	counted, freed := counting()
	const contexts = 20
	func() {
		for i := range contexts {
			context, err := counted.NewContext(ContextOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := context.Upload(pairsWeights()); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				context.Close()
				context.Close()
			}
		}
	}()
	for end := time.Now().Add(10 * time.Second); freed.Load() < contexts && time.Now().Before(end); time.Sleep(time.Millisecond) {
		runtime.GC()
	}
	runtime.GC()
	time.Sleep(10 * time.Millisecond)
	if freed.Load() != contexts {
		t.Errorf("%d contexts, %d freed", contexts, freed.Load())
	}
}
