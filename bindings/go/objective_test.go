package eplb

import (
	"encoding/csv"
	"os"
	"slices"
	"strconv"
	"testing"
)

const (
	objectiveLayers, objectiveExperts = 3, 64
	objectiveSlots, objectiveGPUs     = 80, 16
	objectiveRow                      = objectiveLayers * objectiveExperts
)

// textAndCode are two measured windows [2,3,64].
func textAndCode(t *testing.T) []float64 {
	t.Helper()
	var values []float64
	for _, corpus := range []string{"allenai", "github"} {
		file, err := os.Open("../../examples/data/olmoe-1b-7b_" + corpus + "_L3xE64.csv")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		rows, err := csv.NewReader(file).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range slices.Concat(rows...) {
			value, err := strconv.ParseFloat(word, 64)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
	}
	if len(values) != 2*objectiveRow {
		t.Fatal(len(values))
	}
	return values
}

func objectiveInput(values []float64, objective Objective) input {
	shape := [3]int{len(values) / objectiveRow, objectiveLayers, objectiveExperts}
	problem := Problem{NumSlots: objectiveSlots, NumGPUs: objectiveGPUs, Policy: PolicyGlobal, Objective: objective}
	return inputOf(values, shape, problem, SolveOptions{Strategy: StrategyBest})
}

// solvedAndChecked is a plan for which all holds that holds for every plan.
func solvedAndChecked(t *testing.T, context *Context, in input) *Plan {
	t.Helper()
	p, err := context.Solve(in.weights, in.problem, in.options)
	if err != nil {
		t.Fatal(err)
	}
	checkPlan(t, context, in, p)
	return p
}

func TestWindowsAreBetterBalancedThanByTheirSum(t *testing.T) {
	context, values := newContext(t), textAndCode(t)
	ofSum := reportOf(solvedAndChecked(t, context, objectiveInput(values, ObjectiveSum)))
	report := reportOf(solvedAndChecked(t, context, objectiveInput(values, ObjectiveWindows)))
	if report.WindowsMean >= ofSum.WindowsMean || report.WindowsWorst >= ofSum.WindowsWorst || report.WindowsMean > 1.05 {
		t.Errorf("windows %v, %v, sum %v, %v", report.WindowsMean, report.WindowsWorst, ofSum.WindowsMean, ofSum.WindowsWorst)
	}
	grouped := objectiveInput(values, ObjectiveWindows)
	grouped.problem.NumNodes, grouped.problem.NumGroups, grouped.problem.Policy = 4, 8, PolicyHierarchical
	solvedAndChecked(t, context, grouped)
}

// bothPlacements are one from nothing and one from a placement for the text.
func bothPlacements(t *testing.T, values []float64, objective Objective) [2][]int32 {
	t.Helper()
	context, in := newContext(t), objectiveInput(values, objective)
	fresh := solvedAndChecked(t, context, in)
	stale := solvedAndChecked(t, newContext(t), objectiveInput(textAndCode(t)[:objectiveRow], ObjectiveSum)).PhysicalToLogical
	changed, err := context.Rebalance(in.weights, stale, in.problem, SolveOptions{MaxMoves: AtMost(6)})
	if err != nil {
		t.Fatal(err)
	}
	return [2][]int32{fresh.PhysicalToLogical, changed.PhysicalToLogical}
}

func TestWhatWindowsDoNotChange(t *testing.T) {
	values := textAndCode(t)
	text, code := values[:objectiveRow], values[objectiveRow:]
	want := bothPlacements(t, values, ObjectiveWindows)
	scaled := slices.Clone(values)
	for i := range text {
		scaled[i] *= 1 << 20
		scaled[objectiveRow+i] /= 512
	}
	silent := make([]float64, objectiveRow)
	for name, same := range map[string][]float64{
		"windows times constants": scaled,
		"a window without load":   slices.Concat(text, silent, code),
	} {
		got := bothPlacements(t, same, ObjectiveWindows)
		equal(t, name, want[0], got[0])
		equal(t, name+", from a placement", want[1], got[1])
	}
	// One window, and one that has load.
	for _, alone := range [][]float64{code, slices.Concat(silent, code)} {
		ofSum, windows := bothPlacements(t, alone, ObjectiveSum), bothPlacements(t, alone, ObjectiveWindows)
		equal(t, "one window", ofSum[0], windows[0])
		equal(t, "one window, from a placement", ofSum[1], windows[1])
	}
}

// arrivalsOf counts by layer and GPU the experts that are there and were not.
func arrivalsOf(current, placement []int32) []int {
	var counts []int
	places := objectiveSlots / objectiveGPUs
	for at := 0; at < len(current); at += places {
		held, holds := current[at:at+places], slices.Clone(placement[at:at+places])
		slices.Sort(holds)
		count := 0
		for _, expert := range slices.Compact(holds) {
			if expert >= 0 && !slices.Contains(held, expert) {
				count++
			}
		}
		counts = append(counts, count)
	}
	return counts
}

func TestLimitsOfARebalanceForWindows(t *testing.T) {
	values := textAndCode(t)
	in := objectiveInput(values, ObjectiveWindows)
	current := solvedAndChecked(t, newContext(t), objectiveInput(values[:objectiveRow], ObjectiveSum)).PhysicalToLogical
	for _, options := range []SolveOptions{
		{MaxMoves: AtMost(5)}, {MaxArrivals: 1}, {MaxMovesTotal: AtMost(11)},
		{MaxMoves: AtMost(6), MaxArrivals: 2, MaxMovesTotal: AtMost(14)}, {MaxMoves: AtMost(0)},
	} {
		context := newContext(t)
		plan, err := context.Rebalance(in.weights, current, in.problem, options)
		if err != nil {
			t.Fatal(err)
		}
		for layer := range objectiveLayers {
			checkMaps(t, in, plan, layer, plan.LogicalToPhysical())
			checkLoads(t, in, plan, layer)
		}
		total, arrivals := 0, arrivalsOf(current, plan.PhysicalToLogical)
		for layer := range slices.Chunk(arrivals, objectiveGPUs) {
			moves := 0
			for _, count := range layer {
				moves += count
			}
			total += moves
			if limit := options.MaxMoves; limit.given && moves > limit.most {
				t.Errorf("%+v: %d moves of a layer", options, moves)
			}
		}
		if limit := options.MaxMovesTotal; limit.given && total > limit.most {
			t.Errorf("%+v: %d moves", options, total)
		}
		if most := slices.Max(arrivals); options.MaxArrivals > 0 && most > options.MaxArrivals {
			t.Errorf("%+v: %d arrivals", options, most)
		}
		if (total > 0) != (options.MaxMoves != AtMost(0)) || total != reportOf(plan).Moves {
			t.Errorf("%+v: %d moves, %d are reported", options, total, reportOf(plan).Moves)
		}
	}
}

func TestUnequalGPUsForWindows(t *testing.T) {
	context, in := newContext(t), objectiveInput(textAndCode(t), ObjectiveWindows)
	slots, speeds := make([]int, objectiveGPUs), make([]float64, objectiveGPUs)
	for gpu := range slots {
		slots[gpu], speeds[gpu] = 5-gpu%2, 1+float64(gpu%3)/10
	}
	slots[6] = 0
	if err := context.UploadCluster(Cluster{Slots: slots, Speeds: speeds}); err != nil {
		t.Fatal(err)
	}
	var worst [2]float64
	for i, objective := range []Objective{ObjectiveSum, ObjectiveWindows} {
		in.problem.Objective = objective
		plan, err := context.Solve(in.weights, in.problem, in.options)
		if err != nil {
			t.Fatal(err)
		}
		for slot, expert := range plan.PhysicalToLogical {
			if gpu := slot % objectiveSlots / 5; (expert >= 0) != (slot%5 < slots[gpu]) {
				t.Fatalf("%s: slot %d has expert %d", objective, slot, expert)
			}
		}
		if slices.Min(plan.ReplicaCount) < 1 {
			t.Errorf("%s: an expert has no replica", objective)
		}
		worst[i] = reportOf(plan).WindowsWorst
	}
	if worst[1] >= worst[0] {
		t.Errorf("windows %v, sum %v", worst[1], worst[0])
	}
}

func TestMoreWindowsThanAreKeptAreRefused(t *testing.T) {
	problem := Problem{NumSlots: 24, NumGPUs: 4, Objective: ObjectiveWindows}
	if _, err := newContext(t).Solve(NewWindows(sample(64, 16, 4), 64, 1, 16), problem, SolveOptions{}); err != nil {
		t.Error(err)
	}
	_, err := newContext(t).Solve(NewWindows(sample(65, 16, 4), 65, 1, 16), problem, SolveOptions{})
	refused(t, err, ErrUnavailable, "more than 64")
}
