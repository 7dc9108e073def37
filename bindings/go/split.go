package eplb

import "unsafe"

// Split says how the tokens of every expert are split over its replicas, so that the busiest GPU has as few as can be.
type Split struct {
	Share     []int32   // [L,S]: an expert's tokens over its slots, in 1/65536: 65536 for each expert; see MapShare
	Quota     []float64 // [L,S]: the same in tokens, the weights' unit; see MapQuota
	Load      []float64 // [L,G]: the quotas of each GPU, added up
	Imbalance []float64 // [L]: largest over mean load; of GPUs of different speeds, time
	Bound     []float64 // [L]: no split over this placement has a largest load below this; see MapSplitBound
	Tight     []int32   // [L,G]: 1 for the GPUs that the bound is of: a certificate, see MapSplitTight
}

// PrepareSplit takes the placement [L,S] over which tokens are to be split, and works out what depends on it alone: once, for
// any number of splits. nil means the solved plan, of whose problem NumSlots and NumGPUs must be. It stays while weights of the
// same shape are uploaded; a new cluster, prices, weights of windows and Reserve discard it. The plan is left alone, a split and
// a static dispatch that were made before are discarded; but nothing after an error.
//
// Errors: ErrInvalidPlacement naming the rule and the layer, slot or expert, as Evaluate; ErrInvalidArgument for sizes that do
// not fit each other; ErrInvalidState before an upload, and for nil before a solve.
func (c *Context) PrepareSplit(problem Problem, placement []int32) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := c.setSplitProblem(problem, placement); err != nil {
		return err
	}
	return c.check(c.library.call.SplitPrepare(c.handle, &c.problem, unsafe.Pointer(unsafe.SliceData(placement)),
		int64(len(placement)), int32(Int32), &c.err))
}

// setSplitProblem refuses a placement that C would take for the plan.
func (c *Context) setSplitProblem(problem Problem, placement []int32) error {
	if placement != nil && len(placement) == 0 {
		return errorf(ErrInvalidArgument, "placement is empty, must have layers * slots elements; nil means the plan")
	}
	return c.setProblem(problem)
}

// Split uploads weights, splits the tokens of every expert over its replicas in the placement that PrepareSplit was given, and
// fetches all of the answer. The solved plan is discarded, as by Upload. Loops that need one map only take Upload,
// SplitUploaded and FetchInts or FetchFloats instead.
//
// Errors: those of Upload and SplitUploaded. The weights stay uploaded if it is the split that is refused.
func (c *Context) Split(weights Weights, options SplitOptions) (*Split, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	if err := c.upload(weights); err != nil {
		return nil, err
	}
	if err := c.splitUploaded(options); err != nil {
		return nil, err
	}
	return c.fetchSplit()
}

// SplitUploaded splits the uploaded weights, such that the busiest GPU has as few tokens as can be, and keeps the answer in the
// context, for FetchInts and FetchFloats: MapShare to MapSplitTight. The solved plan is left alone; an upload of weights
// discards the split. After an error the last one is still there.
//
// Whole weights of a layer whose sum is below 2^29 are split as they are, others are rounded to about 2^-28 of their sum first.
//
// Errors: ErrInvalidState before an upload, before PrepareSplit, and if that was for weights of another shape;
// ErrInvalidArgument for a tolerance that is not from 0 to 1.
func (c *Context) SplitUploaded(options SplitOptions) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	return c.splitUploaded(options)
}

func (c *Context) splitUploaded(options SplitOptions) error {
	c.splitOptions = c.library.splitOptions
	if err := options.in(&c.splitOptions); err != nil {
		return err
	}
	// Without a problem, over what was prepared.
	return c.check(c.library.call.Split(c.handle, nil, nil, 0, 0, &c.splitOptions, &c.err))
}

// PrepareSplitDevice is PrepareSplit from device memory, in the order of the stream: it is queued there and returns at once,
// never waits, never allocates, and can be captured. PrepareSplit takes the memory for it, for problems up to the largest that
// it was given. An array without a Pointer means the plan in reserved memory.
//
// Errors: as UploadWeightsDevice; ErrInvalidState without that memory. A layer that is not a placement of all experts is found
// on the device, later: it counts as one without any, and only Synchronize or Report reports ErrInvalidPlacement.
func (c *Context) PrepareSplitDevice(problem Problem, placement DeviceArray, stream Stream) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := c.setProblem(problem); err != nil {
		return err
	}
	return c.check(c.library.call.SplitPrepareDevice(c.handle, &c.problem, placement.Pointer, int64(placement.Length),
		int32(placement.DType), stream, &c.err))
}

// SplitDevice is SplitUploaded of weights in reserved device memory, in the order of the stream: it is queued there and returns
// at once, never waits, never allocates, and can be captured and replayed with new weights in the same memory. FetchMapDevice
// has the maps.
//
// Errors: as PrepareSplitDevice; ErrInvalidState without weights there.
func (c *Context) SplitDevice(options SplitOptions, stream Stream) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	c.splitOptions = c.library.splitOptions
	if err := options.in(&c.splitOptions); err != nil {
		return err
	}
	return c.check(c.library.call.SplitDevice(c.handle, nil, 0, 0, 0, &c.splitOptions, stream, &c.err))
}

func (c *Context) fetchSplit() (s *Split, err error) {
	s = new(Split)
	for which, ints := range map[IntMap]*[]int32{MapShare: &s.Share, MapSplitTight: &s.Tight} {
		if *ints, err = fetch[int32](c, int32(which), nil); err != nil {
			return nil, err
		}
	}
	for which, floats := range map[FloatMap]*[]float64{
		MapQuota: &s.Quota, MapSplitLoad: &s.Load, MapSplitImbalance: &s.Imbalance, MapSplitBound: &s.Bound,
	} {
		if *floats, err = fetch[float64](c, int32(which), nil); err != nil {
			return nil, err
		}
	}
	return s, nil
}
