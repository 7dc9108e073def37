package eplb

import (
	"reflect"
	"testing"
)

// Two windows of two layers: loads of the first layer are on one GPU in each, the second has some in the second window.
var pairOfWindows = []float32{4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 3, 3, 1, 1, 1, 1}

func TestWindows(t *testing.T) {
	context, problem, placement := newContext(t), Problem{NumSlots: 4, NumGPUs: 2}, []int32{0, 1, 2, 3, 0, 1, 2, 3}
	if err := context.Upload(NewWindows(pairOfWindows, 2, 2, 4)); err != nil {
		t.Fatal(err)
	}
	imbalance, err := context.EvaluateWindows(problem, placement)
	if err != nil || !reflect.DeepEqual(imbalance, []float64{2, 2, 1, 1}) {
		t.Error(imbalance, err)
	}
	bound, err := context.BoundWindows(problem, placement)
	if err != nil || len(bound) != 4 {
		t.Fatal(bound, err)
	}
	for i, want := range []float64{4, 3, 0, 2} {
		near(t, "bound", want, bound[i])
	}
	report, err := context.Evaluate(problem, placement)
	if err != nil || report.NumWindows != 2 || report.NumEmptyWindows != 0 || report.WindowsWorst != 2 {
		t.Errorf("%+v %v", report, err)
	}
	near(t, "mean", 5.0/3, report.WindowsMean)
	_, err = context.EvaluateWindows(problem, placement[:4])
	refused(t, err, ErrInvalidArgument, "placement_length is 4")
	_, err = newContext(t).EvaluateWindows(problem, placement)
	refused(t, err, ErrInvalidState, "eplb_upload_weights")
}

func TestWindowsOfAPlan(t *testing.T) {
	context, weights := newContext(t), NewWindows(sample(3*5, 64, 2), 5, 3, 64)
	problem := Problem{NumSlots: 80, NumGPUs: 16}
	p, err := context.Solve(weights, problem, SolveOptions{Strategy: StrategyGreedy})
	if err != nil {
		t.Fatal(err)
	}
	for which, judge := range map[FloatMap]func(Problem, []int32) ([]float64, error){
		MapWindowImbalance: context.EvaluateWindows, MapWindowBound: context.BoundWindows,
	} {
		fetched, err := context.FetchFloats(which, nil)
		if err != nil {
			t.Fatal(err)
		}
		judged, err := judge(problem, p.PhysicalToLogical)
		if err != nil || len(fetched) != 15 {
			t.Error(len(fetched), err)
		}
		equal(t, "figures of windows", fetched, judged)
	}
}

// What is not kept is not known, in a plan that is read late either.
func TestMoreWindowsThanAreKept(t *testing.T) {
	context, weights := newContext(t), NewWindows(sample(65, 16, 4), 65, 1, 16)
	problem := Problem{NumSlots: 24, NumGPUs: 4}
	var reports [2]Report
	for i := range reports {
		p, err := context.Solve(weights, problem, SolveOptions{Strategy: StrategyGreedy})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := context.FetchFloats(MapWindowImbalance, nil); err == nil {
			t.Error("windows that were not kept are known")
		} else {
			refused(t, err, ErrUnavailable, "more than 64")
		}
		_, err = context.BoundWindows(problem, p.PhysicalToLogical)
		refused(t, err, ErrUnavailable, "more than 64")
		if i == 1 {
			if err := context.Upload(weights); err != nil {
				t.Fatal(err)
			}
		}
		reports[i] = withoutTimes(reportOf(p))
	}
	if !reflect.DeepEqual(reports[0], reports[1]) || reports[0].NumWindows != 0 || reports[0].WindowsMean != 0 {
		t.Errorf("%+v\n%+v", reports[0], reports[1])
	}
}

func TestWindowsApartAreRefusedByStrategiesWithoutThem(t *testing.T) {
	problem := pairsProblem
	problem.Objective = ObjectiveWindows
	_, err := newContext(t).Solve(pairsWeights(), problem, SolveOptions{Strategy: StrategyGreedy})
	refused(t, err, ErrUnavailable, "EPLB_OBJECTIVE_WINDOWS")
	problem.Objective = "peak"
	_, err = newContext(t).Solve(pairsWeights(), problem, SolveOptions{})
	refused(t, err, ErrInvalidArgument, "objective is 'peak', must be one of sum, windows")
}
