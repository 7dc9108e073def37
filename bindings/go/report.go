package eplb

import "unsafe"

// Fingerprint returns a number that stands for the solved plan: equal plans have equal numbers on every machine, and two
// that differ have the same one with a chance of 2^-64. For ranks that solve the same problem and must agree.
//
// Errors: ErrInvalidState before a solve.
func (c *Context) Fingerprint() (value uint64, err error) {
	if err := c.acquire(); err != nil {
		return 0, err
	}
	defer c.release()
	err = c.check(c.library.call.Fingerprint(c.handle, &value, &c.err))
	return value, err
}

// Report says how good the solved plan is. Loads are recomputed in float64 from the original weights; bounds are
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
	if err := c.check(c.library.call.FetchReport(c.handle, &c.report, &c.err)); err != nil {
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
		return Report{}, c.check(status)
	}
	report := c.report.inGo()
	report.LayerImbalance, report.LayerBound = imbalance[:c.layers], bound[:c.layers]
	report.LayerDuplicates = duplicates[:c.layers]
	return report, nil
}

// EvaluateWindows tells how good a placement [L,S], anyone's, is in each window of the uploaded weights. It returns [L,T],
// what MapWindowImbalance is of a plan; Report has its mean and its worst. The solved plan is left alone.
//
// Errors: as Evaluate; ErrUnavailable if windows were not kept, see MapWindowImbalance.
func (c *Context) EvaluateWindows(problem Problem, physicalToLogical []int32) ([]float64, error) {
	return c.evaluateWindows(problem, physicalToLogical, false)
}

// BoundWindows is EvaluateWindows for the bound, what MapWindowBound is of a plan.
func (c *Context) BoundWindows(problem Problem, physicalToLogical []int32) ([]float64, error) {
	return c.evaluateWindows(problem, physicalToLogical, true)
}

func (c *Context) evaluateWindows(problem Problem, physicalToLogical []int32, isBound bool) ([]float64, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	if err := c.setProblem(problem); err != nil {
		return nil, err
	}
	length := c.layers * c.windows
	// One to spare, as in Evaluate.
	figures := make([]float64, length+1)
	imbalance, bound := &figures[0], (*float64)(nil)
	if isBound {
		imbalance, bound = bound, imbalance
	}
	placement := unsafe.Pointer(unsafe.SliceData(physicalToLogical))
	status := c.library.call.EvaluateWindows(c.handle, &c.problem, placement, int64(len(physicalToLogical)), int32(Int32),
		imbalance, bound, int64(length), &c.err)
	if status != 0 {
		return nil, c.check(status)
	}
	return figures[:length], nil
}
