package eplb

import (
	"time"
	"unsafe"
)

// Report is how good a placement is, under the weights it was solved for or evaluated with. "Mean" and "worst" are over
// layers. A gap of 0.01 means: at most one percent above the optimum.
type Report struct {
	ImbalanceMean         float64
	ImbalanceWorst        float64
	BoundMean             float64       // mean of bound / mean load: ImbalanceMean can be no lower
	GapMean               float64       // mean of largest load / bound - 1
	GapWorst              float64       // of the worst layer
	Elapsed               time.Duration // of the solve, or of the evaluation, inside the library
	WorstLayer            int           // the lowest layer that has ImbalanceWorst
	Duplicates            int           // over all layers: slots whose expert already sits in a lower slot of the same GPU
	DuplicatesUnavoidable int           // so many of these no placement with the same replica counts could avoid
	ContextBytes          int64         // memory that the context holds, weights and plan included
	Strategy              Strategy      // what solved it; empty for a placement that was evaluated
	Policy                Policy        // what was used: never PolicyAuto
	PolicyReason          PolicyReason  // and why
	Bound                 BoundKind     // which bound the gaps are over

	LayerImbalance  []float64 // [L]: largest over mean GPU load
	LayerBound      []float64 // [L]: no placement has a largest GPU load below this, in the weights' unit
	LayerDuplicates []int64   // [L]
}

// Report tells how good the solved plan is. Loads are computed anew in float64 from the original weights; bounds are
// computed here, outside the time of a solve.
//
// Errors: ErrInvalidState before a solve; once, the late errors of device calls, see Synchronize.
func (c *Context) Report() (Report, error) {
	if err := c.acquire(); err != nil {
		return Report{}, err
	}
	defer c.release()
	return c.fetchReport()
}

func (c *Context) fetchReport() (report Report, err error) {
	c.report = c.library.report
	if err := c.err.check(c.library.call.FetchReport(c.handle, &c.report, &c.err)); err != nil {
		return Report{}, err
	}
	report = c.report.inGo()
	if report.LayerImbalance, err = fetch[float64](c, int32(MapImbalance), nil); err != nil {
		return Report{}, err
	}
	if report.LayerBound, err = fetch[float64](c, int32(MapBound), nil); err != nil {
		return Report{}, err
	}
	if report.LayerDuplicates, err = fetch[int64](c, int32(MapDuplicates), nil); err != nil {
		return Report{}, err
	}
	return report, nil
}

// Evaluate tells whether a placement [L,S], anyone's, is one, and how good it is under the uploaded weights. Two replicas
// of an expert on one GPU are valid and counted. The solved plan is left alone.
//
// Errors: ErrInvalidState before an upload; ErrInvalidArgument for sizes that do not fit; ErrInvalidPlacement naming the
// rule and the layer, slot or expert: an id that is none, an expert without a replica, under a hierarchical policy a
// replica that is not on the node of its group.
func (c *Context) Evaluate(problem Problem, physicalToLogical []int32) (Report, error) {
	if err := c.acquire(); err != nil {
		return Report{}, err
	}
	defer c.release()
	if err := c.setProblem(problem); err != nil {
		return Report{}, err
	}
	c.report = c.library.report
	// One to spare, so that there is a first element to point at before an upload, when there are no layers yet.
	imbalance, bound, duplicates := make([]float64, c.layers+1), make([]float64, c.layers+1), make([]int64, c.layers+1)
	placement := unsafe.Pointer(unsafe.SliceData(physicalToLogical))
	status := c.library.call.Evaluate(c.handle, &c.problem, placement, int64(len(physicalToLogical)), int32(Int32),
		&c.report, &imbalance[0], &bound[0], &duplicates[0], int64(c.layers), &c.err)
	if status != 0 {
		return Report{}, c.err.check(status)
	}
	report := c.report.inGo()
	report.LayerImbalance, report.LayerBound = imbalance[:c.layers], bound[:c.layers]
	report.LayerDuplicates = duplicates[:c.layers]
	return report, nil
}

func (r *cReport) inGo() Report {
	report := Report{
		ImbalanceMean:         r.ImbalanceMean,
		ImbalanceWorst:        r.ImbalanceWorst,
		BoundMean:             r.BoundMean,
		GapMean:               r.GapMean,
		GapWorst:              r.GapWorst,
		Elapsed:               time.Duration(r.Microseconds * float64(time.Microsecond)),
		WorstLayer:            int(r.WorstLayer),
		Duplicates:            int(r.Duplicates),
		DuplicatesUnavoidable: int(r.DuplicatesUnavoidable),
		ContextBytes:          r.ContextBytes,
		Policy:                Policy(policyNames.of(r.Policy)),
		PolicyReason:          PolicyReason(reasonNames.of(r.PolicyReason)),
		Bound:                 BoundKind(boundNames.of(r.BoundKind)),
	}
	if r.Strategy >= 0 {
		report.Strategy = Strategy(strategyNames.of(r.Strategy))
	}
	return report
}
