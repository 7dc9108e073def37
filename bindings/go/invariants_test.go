package eplb

import (
	"math"
	"reflect"
	"slices"
	"testing"
)

// checkPlan holds every placement against what must be true of all, with sums of its own.
func checkPlan(t *testing.T, context *Context, in input, p *Plan) {
	t.Helper()
	if p.NumSlots != in.problem.NumSlots || p.NumGPUs != in.problem.NumGPUs || p.NumLayers*p.NumExperts != len(in.sums) {
		t.Fatalf("%d layers, %d experts, %d slots, %d GPUs", p.NumLayers, p.NumExperts, p.NumSlots, p.NumGPUs)
	}
	l2p := p.LogicalToPhysical()
	fetched, err := context.FetchInts(MapLogicalToPhysical, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "logical_to_physical", fetched, l2p)
	loads, err := context.FetchFloats(MapGPULoad, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "gpu_load", loads, p.GPULoad())
	for layer := range p.NumLayers {
		checkMaps(t, in, p, layer, l2p)
		checkLoads(t, in, p, layer)
		checkDuplicates(t, in, p, layer)
		if reportOf(p).Policy == PolicyHierarchical {
			checkNodes(t, in, p, layer)
		}
		if t.Failed() {
			t.Fatalf("in layer %d", layer)
		}
	}
	checkReport(t, in, p)
	checkHomes(t, context, in, p)
	checkEvaluation(t, context, in, p)
}

// The maps that say where replicas are must all describe one placement.
func checkMaps(t *testing.T, in input, p *Plan, layer int, l2p []int32) {
	t.Helper()
	slots := p.ReplicaSlots[layer*p.NumSlots : (layer+1)*p.NumSlots]
	taken := make([]bool, p.NumSlots)
	at := 0
	for expert := range p.NumExperts {
		count := int(p.ReplicaCount[layer*p.NumExperts+expert])
		if count < 1 || count > p.MaxReplicas || at+count > p.NumSlots {
			t.Fatalf("expert %d has %d replicas", expert, count)
		}
		if limit := in.options.MaxReplicas; limit > 0 && count > limit {
			t.Errorf("expert %d has %d replicas, at most %d were asked for", expert, count, limit)
		}
		row := l2p[(layer*p.NumExperts+expert)*p.MaxReplicas:][:p.MaxReplicas]
		for replica, slot := range row {
			switch {
			case replica >= count:
				if slot != -1 {
					t.Errorf("expert %d has slot %d after its %d replicas", expert, slot, count)
				}
			case slot < 0 || int(slot) >= p.NumSlots || taken[slot] || p.Layer(layer)[slot] != int32(expert) || slots[at] != slot:
				t.Fatalf("replica %d of expert %d cannot be in slot %d", replica, expert, slot)
			default:
				taken[slot] = true
				at++
			}
		}
	}
	if at != p.NumSlots {
		t.Errorf("%d replicas in %d slots", at, p.NumSlots)
	}
}

func checkLoads(t *testing.T, in input, p *Plan, layer int) {
	t.Helper()
	sums, counts := in.sums[layer*p.NumExperts:][:p.NumExperts], p.ReplicaCount[layer*p.NumExperts:][:p.NumExperts]
	var largest, total float64
	for gpu := range p.NumGPUs {
		var load float64
		for _, expert := range p.GPU(layer, gpu) {
			load += sums[expert] / float64(counts[expert])
		}
		near(t, "load", load, p.GPULoad()[layer*p.NumGPUs+gpu])
		largest = max(largest, load)
	}
	for _, sum := range sums {
		total += sum
	}
	mean, imbalance, bound := total/float64(p.NumGPUs), 1.0, reportOf(p).LayerBound[layer]
	if mean > 0 {
		imbalance = largest / mean
	}
	near(t, "imbalance", imbalance, reportOf(p).LayerImbalance[layer])
	if bound > largest || bound < mean*(1-1e-11) {
		t.Errorf("bound %v, largest load %v, mean %v", bound, largest, mean)
	}
}

func checkDuplicates(t *testing.T, in input, p *Plan, layer int) {
	t.Helper()
	var found int64
	for gpu := range p.NumGPUs {
		held := p.GPU(layer, gpu)
		for i, expert := range held {
			if slices.Contains(held[:i], expert) {
				found++
			}
		}
	}
	if reported := reportOf(p).LayerDuplicates[layer]; reported != found {
		t.Errorf("%d duplicates are reported, %d are there", reported, found)
	}
	// Avoidable if the node has at least K experts and the count is at most its GPUs.
	nodes := in.nodes(p)
	enough := p.NumExperts/nodes >= p.NumSlots/p.NumGPUs
	if reportOf(p).Strategy == StrategyBest && enough && found > in.unavoidable(p, layer) {
		t.Errorf("best has %d duplicates, %d are unavoidable", found, in.unavoidable(p, layer))
	}
}

// nodes over which replicas of an expert cannot spread.
func (in input) nodes(p *Plan) int {
	if reportOf(p).Policy == PolicyHierarchical {
		return max(in.problem.NumNodes, 1)
	}
	return 1
}

func (in input) unavoidable(p *Plan, layer int) (total int64) {
	gpus := int32(p.NumGPUs / in.nodes(p))
	for _, count := range p.ReplicaCount[layer*p.NumExperts:][:p.NumExperts] {
		total += int64(max(count-gpus, 0))
	}
	return total
}

func checkNodes(t *testing.T, in input, p *Plan, layer int) {
	t.Helper()
	nodes, groups := in.nodes(p), max(in.problem.NumGroups, 1)
	nodeOf, share := map[int]int{}, make([]int, nodes)
	for slot, expert := range p.Layer(layer) {
		node, group := slot/(p.NumSlots/nodes), int(expert)/(p.NumExperts/groups)
		if before, known := nodeOf[group]; !known {
			nodeOf[group] = node
			share[node]++
		} else if before != node {
			t.Errorf("group %d is on nodes %d and %d", group, before, node)
		}
	}
	for node, count := range share {
		if count != groups/nodes {
			t.Errorf("node %d has %d groups of %d", node, count, groups)
		}
	}
}

func checkReport(t *testing.T, in input, p *Plan) {
	t.Helper()
	var imbalance, worst float64
	var duplicates, unavoidable int64
	worstLayer, loaded := 0, 0
	for layer, value := range reportOf(p).LayerImbalance {
		if slices.Max(p.GPULoad()[layer*p.NumGPUs:(layer+1)*p.NumGPUs]) > 0 {
			imbalance += value
			loaded++
		}
		if value > worst {
			worst, worstLayer = value, layer
		}
		duplicates += reportOf(p).LayerDuplicates[layer]
		unavoidable += in.unavoidable(p, layer)
	}
	r := reportOf(p)
	if loaded == 0 {
		imbalance = 1
	}
	near(t, "mean imbalance", imbalance/float64(max(loaded, 1)), r.ImbalanceMean)
	if r.NumEmptyLayers != p.NumLayers-loaded {
		t.Errorf("%d layers have load, but the report counts %d without", loaded, r.NumEmptyLayers)
	}
	near(t, "worst imbalance", worst, r.ImbalanceWorst)
	if r.WorstLayer != worstLayer || int64(r.Duplicates) != duplicates || int64(r.DuplicatesUnavoidable) != unavoidable {
		t.Errorf("report says %+v", r)
	}
	if r.BoundMean > r.ImbalanceMean*(1+1e-12) || r.GapMean < -1e-12 || r.GapWorst < r.GapMean-1e-12 || math.IsNaN(r.GapWorst) {
		t.Errorf("bound and gaps: %+v", r)
	}
	if r.Strategy != in.options.Strategy || r.Elapsed < 0 || r.ContextBytes <= 0 || r.Policy == PolicyAuto {
		t.Errorf("report says %+v", r)
	}
}

// What the library says of its own plan when it is handed in as anyone's.
func checkEvaluation(t *testing.T, context *Context, in input, p *Plan) {
	t.Helper()
	problem := in.problem
	problem.MaxReplicas = in.options.MaxReplicas
	evaluated, err := context.Evaluate(problem, p.PhysicalToLogical)
	if err != nil {
		t.Fatal(err)
	}
	expected := reportOf(p)
	expected.Strategy = ""
	expected.Elapsed, expected.ContextBytes = evaluated.Elapsed, evaluated.ContextBytes
	if !reflect.DeepEqual(expected, evaluated) {
		t.Errorf("solved: %+v\nevaluated: %+v", expected, evaluated)
	}
}
