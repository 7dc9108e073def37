package eplb

import (
	"math"
	"slices"
	"testing"
)

// homesOf are the off-home share and its bound of one row [S] of equal GPUs, from their definition.
func homesOf(in input, weights []float64, row []int32) (share, bound float64) {
	nodes, groups := max(in.problem.NumNodes, 1), max(in.problem.NumGroups, 1)
	target := in.problem.OffHomeTarget
	if target == 0 {
		target = 1.01
	}
	served := make([][]float64, groups)
	for group := range served {
		served[group] = make([]float64, nodes)
	}
	mayCarry, atHome := make([]float64, nodes), make([]float64, nodes)
	for gpu := range in.problem.NumGPUs {
		mayCarry[gpu*nodes/in.problem.NumGPUs] += target / float64(in.problem.NumGPUs)
	}
	perGPU, total := len(row)/in.problem.NumGPUs, 0.0
	for expert, weight := range weights {
		total += weight
		var on []int
		for slot, held := range row {
			if int(held) == expert {
				on = append(on, slot/perGPU*nodes/in.problem.NumGPUs)
			}
		}
		for _, node := range on {
			served[expert*groups/len(weights)][node] += weight / float64(len(on))
		}
	}
	if total == 0 {
		return 0, 0
	}
	for _, byNode := range served {
		home := slices.Index(byNode, slices.Max(byNode))
		for node, load := range byNode {
			atHome[home] += load / total
			if node != home {
				share += load / total
			}
		}
	}
	for node, load := range atHome {
		bound += max(0, load-mayCarry[node])
	}
	return share, bound
}

// closeShares allows what rounding may add, which a bound gives up.
func closeShares(t *testing.T, name string, want, got float64) {
	t.Helper()
	if !(math.Abs(want-got) <= 2e-12) || got < 0 {
		t.Errorf("%s is %v, want %v", name, got, want)
	}
}

func checkHomes(t *testing.T, context *Context, in input, p *Plan) {
	t.Helper()
	shares, err := context.FetchFloats(MapOffHome, nil)
	if err != nil {
		t.Fatal(err)
	}
	bounds, err := context.FetchFloats(MapOffHomeBound, nil)
	if err != nil || len(shares) != p.NumLayers || len(bounds) != p.NumLayers {
		t.Fatal(shares, bounds, err)
	}
	var mean, boundMean float64
	for layer := range p.NumLayers {
		share, bound := homesOf(in, in.sums[layer*p.NumExperts:][:p.NumExperts], p.Layer(layer))
		closeShares(t, "off-home share", share, shares[layer])
		closeShares(t, "its bound", bound, bounds[layer])
		mean += shares[layer]
		boundMean += bounds[layer]
	}
	r := reportOf(p)
	loaded := float64(max(p.NumLayers-r.NumEmptyLayers, 1))
	mean, boundMean = mean/loaded, boundMean/loaded
	closeShares(t, "mean", mean, r.OffHomeMean)
	closeShares(t, "mean of bounds", boundMean, r.OffHomeBoundMean)
	if r.OffHomeWorst != slices.Max(shares) || r.Policy == PolicyHierarchical && r.OffHomeWorst != 0 {
		t.Errorf("%+v of %v", r, shares)
	}
}

// Expert 0 of the first group has a third of its load on the second node.
func TestOffHomeByHand(t *testing.T) {
	context, placement := newContext(t), []int32{0, 1, 0, 1, 2, 3, 0, 2}
	if err := context.Upload(NewWeights([]float64{6, 2, 5, 7}, 1, 4)); err != nil {
		t.Fatal(err)
	}
	for target, bound := range map[float64]float64{0: 0.6 - 1.01/2, 1: 0.1, 1.125: 0.6 - 1.125/2, 1.5: 0} {
		for _, policy := range []Policy{PolicyGlobal, PolicySoft} {
			problem := Problem{NumSlots: 8, NumGPUs: 4, NumNodes: 2, NumGroups: 2, Policy: policy, OffHomeTarget: target}
			report, err := context.Evaluate(problem, placement)
			if err != nil || report.Policy != policy {
				t.Fatal(report, err)
			}
			closeShares(t, "share", 0.1, report.OffHomeMean)
			closeShares(t, "worst share", 0.1, report.OffHomeWorst)
			closeShares(t, "bound", bound, report.OffHomeBoundMean)
		}
	}
}

func softInput(policy Policy) input {
	problem := Problem{NumSlots: 80, NumGPUs: 16, NumNodes: 3, NumGroups: 7, Policy: policy, OffHomeTarget: 1.05}
	return inputOf(sample(3, 64, 5), [3]int{1, 3, 64}, problem, SolveOptions{Strategy: StrategyBest})
}

func TestSoftPlans(t *testing.T) {
	context, in := newContext(t), softInput(PolicySoft)
	p := solvedAndChecked(t, context, in)
	if r := reportOf(p); r.Policy != PolicySoft || r.PolicyReason != ReasonAsked {
		t.Errorf("%+v", r)
	}
	current := solvedAndChecked(t, newContext(t), softInput(PolicyGlobal))
	if reportOf(current).OffHomeMean <= 0 {
		t.Error("nothing is away from home")
	}
	changed, err := context.Rebalance(in.weights, current.PhysicalToLogical, in.problem, SolveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	checkHomes(t, context, in, changed)
}

// A report that is read when the context has another plan is for the target of its own.
func TestALateReportHasItsTarget(t *testing.T) {
	context, in := newContext(t), softInput(PolicyGlobal)
	early := solvedAndChecked(t, context, in)
	late, err := context.Solve(in.weights, in.problem, in.options)
	if err != nil {
		t.Fatal(err)
	}
	in.problem.OffHomeTarget = 2
	other := solvedAndChecked(t, context, in)
	if want, got := reportOf(early).OffHomeBoundMean, reportOf(late).OffHomeBoundMean; want != got || want == reportOf(other).OffHomeBoundMean {
		t.Errorf("%v, late %v, of another target %v", want, got, reportOf(other).OffHomeBoundMean)
	}
}

func TestHomesAreRefused(t *testing.T) {
	context, in := newContext(t), softInput(PolicySoft)
	for _, name := range fromWeights {
		if Strategy(name) == StrategyBest {
			continue
		}
		_, err := context.Solve(in.weights, in.problem, SolveOptions{Strategy: Strategy(name)})
		refused(t, err, ErrUnavailable, "policy is EPLB_POLICY_SOFT, which strategy "+name)
	}
	for target, text := range map[float64]string{0.5: "500 / 1000", 1025: "1025000 / 1000", -1: "-1000 / 1000", math.NaN(): "NaN"} {
		in.problem.OffHomeTarget = target
		_, err := context.Solve(in.weights, in.problem, in.options)
		refused(t, err, ErrInvalidArgument, "off_home_target is "+text)
	}
	in.problem.Policy = "softer"
	_, err := context.Solve(in.weights, in.problem, in.options)
	refused(t, err, ErrInvalidArgument, "policy is 'softer', must be one of auto, hierarchical, global, soft")
}
