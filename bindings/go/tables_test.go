package eplb

import (
	"math"
	"slices"
	"testing"
)

// Groups of experts 0, 1 and 2, 3; nodes of GPUs 0, 1 and 2, 3.
func TestWhatIsPaid(t *testing.T) {
	context, placement := newContext(t), []int32{0, 1, 0, 2, 2, 3, 2, 2}
	if err := context.Upload(NewWeights([]float64{6, 2, 8, 4}, 1, 4)); err != nil {
		t.Fatal(err)
	}
	problem := Problem{NumSlots: 8, NumGPUs: 4, NumNodes: 2, NumGroups: 2, Policy: PolicySoft}
	for _, known := range []struct {
		prices      []float64
		paid, least float64
	}{
		{[]float64{0, 6, 4, 2}, 32.0 / 120, 24.0 / 120},
		{[]float64{1, 8, 2, 0, 0, 0, 8, 8}, 106.0 / 160, 16.0 / 160},
	} {
		if err := context.UploadPrices(known.prices, 2, len(known.prices)/2); err != nil {
			t.Fatal(err)
		}
		report, err := context.Evaluate(problem, placement)
		if err != nil {
			t.Fatal(err)
		}
		closeShares(t, "what is paid", known.paid, report.OffHomeMean)
		closeShares(t, "what has to be", known.least, report.OffHomeBoundMean)
	}
	global := problem
	global.Policy = PolicyGlobal
	ignored, err := context.Evaluate(global, placement)
	if err != nil {
		t.Fatal(err)
	}
	if err := context.ForgetPrices(); err != nil {
		t.Fatal(err)
	}
	without, err := context.Evaluate(problem, placement)
	if err != nil || without.OffHomeMean != ignored.OffHomeMean {
		t.Errorf("%v without prices, %v where they are ignored, %v", without.OffHomeMean, ignored.OffHomeMean, err)
	}
}

func TestPricesStay(t *testing.T) {
	context, in := newContext(t), softInput(PolicySoft)
	solve := func() (*Plan, uint64) {
		p, err := context.Solve(in.weights, in.problem, in.options)
		if err != nil {
			t.Fatal(err)
		}
		fingerprint, err := context.Fingerprint()
		if err != nil {
			t.Fatal(err)
		}
		return p, fingerprint
	}
	_, without := solve()
	prices := make([]float64, 3*7)
	for i := range prices {
		prices[i] = float64(i * 5 % 8)
	}
	if err := context.UploadPrices(prices, 3, 7); err != nil {
		t.Fatal(err)
	}
	_, err := context.FetchInts(MapPhysicalToLogical, nil)
	refused(t, err, ErrInvalidState, "eplb_solve")
	early, priced := solve()
	if priced == without {
		t.Error("prices have changed nothing")
	}
	refused(t, context.UploadPrices(prices[:20], 3, 7), ErrInvalidArgument, "prices_length is 20")
	shares, err := context.FetchFloats(MapOffHome, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A report that is read when the prices have gone is still about them.
	late, again := solve()
	if err := context.ForgetPrices(); err != nil {
		t.Fatal(err)
	}
	if want, got := reportOf(early), reportOf(late); again != priced || want.OffHomeMean != got.OffHomeMean || want.OffHomeWorst != slices.Max(shares) {
		t.Errorf("%+v, late %+v, of layers %v", want, got, shares)
	}
	if _, forgotten := solve(); forgotten != without {
		t.Error("they are not forgotten")
	}
}

func TestPricesAreRefused(t *testing.T) {
	context, in := newContext(t), softInput(PolicySoft)
	refused(t, context.UploadPrices(nil, 0, 0), ErrInvalidArgument, "ForgetPrices")
	for text, given := range map[string]struct {
		prices         []float64
		nodes, columns int
	}{
		"num_nodes is 0": {[]float64{1}, 0, 1},
		"must be num_nodes * num_columns = 2 * 2 = ": {[]float64{1}, 2, 2},
		"prices[node 0, column 1] is NaN":            {[]float64{1, math.NaN()}, 1, 2},
		"prices[node 1, column 0] is negative":       {[]float64{1, -1}, 2, 1},
		"prices[node 1, column 0] is infinite":       {[]float64{1, math.Inf(1)}, 2, 1},
		"0 on all nodes":                             {[]float64{0, 0}, 2, 1},
	} {
		refused(t, context.UploadPrices(given.prices, given.nodes, given.columns), ErrInvalidArgument, text)
	}
	for text, sizes := range map[string][2]int{
		"num_nodes is 3, but there are prices for 2 nodes": {2, 7},
		"prices have 5 columns, must have 64":              {3, 5},
	} {
		prices := slices.Repeat([]float64{1}, sizes[0]*sizes[1])
		if err := context.UploadPrices(prices, sizes[0], sizes[1]); err != nil {
			t.Fatal(err)
		}
		_, err := context.Solve(in.weights, in.problem, in.options)
		refused(t, err, ErrInvalidArgument, text)
	}
	context.Close()
	refused(t, context.ForgetPrices(), ErrInvalidState, "closed")
}

func TestWeightsOfWindows(t *testing.T) {
	context, values := newContext(t), sample(3, 64, 9)
	problem := Problem{NumSlots: 80, NumGPUs: 16, Objective: ObjectiveWindows}
	placement := func(rows []float32) []int32 {
		p, err := context.Solve(NewWindows(rows, len(rows)/64, 1, 64), problem, SolveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return p.PhysicalToLogical
	}
	all, others := placement(values), placement(slices.Concat(values[:64], values[128:]))
	if slices.Equal(all, others) {
		t.Fatal("the window in the middle does not matter")
	}
	if err := context.UploadWindowWeights([]float64{3, 0, 3}); err != nil {
		t.Fatal(err)
	}
	equal(t, "a window that is left out", others, placement(values))
	refused(t, context.UploadWindowWeights(nil), ErrInvalidArgument, "ForgetWindowWeights")
	refused(t, context.UploadWindowWeights(make([]float64, 65)), ErrInvalidArgument, "num_windows is 65")
	refused(t, context.UploadWindowWeights([]float64{1, -1, 1}), ErrInvalidArgument, "weights[window 1] is negative")
	refused(t, context.UploadWindowWeights([]float64{0, 0, 0}), ErrInvalidArgument, "0 in all windows")
	equal(t, "after refusals", others, placement(values))
	if err := context.UploadWindowWeights([]float64{1, 1}); err != nil {
		t.Fatal(err)
	}
	_, err := context.Solve(NewWindows(values, 3, 1, 64), problem, SolveOptions{})
	refused(t, err, ErrInvalidArgument, "there are 3 windows, but weights for 2")
	if err := context.ForgetWindowWeights(); err != nil {
		t.Fatal(err)
	}
	equal(t, "without weights", all, placement(values))
}

// A plan that may have empty slots is read late like any other.
func TestSlotsMayStayEmpty(t *testing.T) {
	context, in := newContext(t), softInput(PolicySoft)
	in.problem.OffHomeTarget, in.options.AllowEmpty = 1.2, true
	late, err := context.Solve(in.weights, in.problem, in.options)
	if err != nil {
		t.Fatal(err)
	}
	early, err := context.Solve(in.weights, in.problem, in.options)
	if err != nil {
		t.Fatal(err)
	}
	report := reportOf(early)
	if !slices.Contains(early.PhysicalToLogical, -1) || report.ImbalanceWorst > 1.2 {
		t.Errorf("%+v", report)
	}
	equal(t, "loads", early.GPULoad(), late.GPULoad())
	if got := reportOf(late); got.BoundMean != report.BoundMean || got.OffHomeMean != report.OffHomeMean {
		t.Errorf("%+v, late %+v", report, got)
	}
}
