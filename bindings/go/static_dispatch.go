package eplb

import "unsafe"

// StaticDispatch says which slot each source rank uses of every expert, where all of its tokens of an expert go to one, so that
// the busiest GPU has little. R is the number of ranks.
type StaticDispatch struct {
	Slot      []int32   // [L,R,E]: the slot that a rank uses of an expert
	Placement []int32   // [L,S]: the expert in each slot after the swaps; without MaxSwaps as it was given
	Ranks     []int32   // [L,S]: how many ranks use the slot; R for each expert
	Load      []float64 // [L,G]: of each slot, the weight of its expert times its part of the ranks, added up
	Imbalance []float64 // [L]: largest over mean load; of GPUs of different speeds, time
	Bound     []float64 // [L]: no table has a largest load below this; see MapDispatchBound
}

// StaticDispatch uploads weights, works out a static dispatch over the placement that PrepareSplit was given, and fetches all of
// the answer. The solved plan is discarded, as by Upload. Loops that need one map only take Upload, StaticDispatchUploaded and
// FetchInts instead.
//
// Errors: those of Upload and StaticDispatchUploaded. The weights stay uploaded if it is the dispatch that is refused.
func (c *Context) StaticDispatch(weights Weights, options StaticDispatchOptions) (*StaticDispatch, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	if err := c.upload(weights); err != nil {
		return nil, err
	}
	// Without a problem, over what was prepared.
	if err := c.dispatch(nil, nil, options); err != nil {
		return nil, err
	}
	return c.fetchDispatch()
}

// StaticDispatchUploaded is for engines in which each source rank sends all of its tokens of an expert to one slot: it chooses
// these slots over the placement that PrepareSplit was given, such that the busiest GPU has little, and keeps the answer in the
// context, for FetchInts and FetchFloats: MapDispatchSlot to MapDispatchBound. Ranks are taken to have equally many tokens of
// every expert, of which the uploaded weights are the sums. Of the ranks that may use a slot, those on its GPU come first, and
// then those on its node. Plan and split are left alone; an upload of weights discards the answer. After an error the last one is
// still there. It works on the host, whatever the context's device.
//
// With options.MaxSwaps the answer is for another placement, MapDispatchPlacement, which has the same experts as often, none of
// them on a GPU twice that was not before. Limits on moves are not looked at.
//
// Errors: ErrInvalidState before an upload, before PrepareSplit, and if that was for weights of another shape;
// ErrInvalidArgument for options out of range, and for more than 4096 ranks.
func (c *Context) StaticDispatchUploaded(options StaticDispatchOptions) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	return c.dispatch(nil, nil, options)
}

// StaticDispatchOver is PrepareSplit and StaticDispatchUploaded in one: a split that was made before is discarded. But nothing
// after an error, what was prepared before included. nil means the solved plan.
//
// Errors: those of both.
func (c *Context) StaticDispatchOver(problem Problem, placement []int32, options StaticDispatchOptions) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := c.setSplitProblem(problem, placement); err != nil {
		return err
	}
	return c.dispatch(&c.problem, placement, options)
}

func (c *Context) dispatch(problem *cProblem, placement []int32, options StaticDispatchOptions) error {
	c.dispatchOptions = c.library.dispatchOptions
	if err := options.in(&c.dispatchOptions); err != nil {
		return err
	}
	return c.check(c.library.call.StaticDispatch(c.handle, problem, unsafe.Pointer(unsafe.SliceData(placement)),
		int64(len(placement)), int32(Int32), &c.dispatchOptions, &c.err))
}

func (c *Context) fetchDispatch() (d *StaticDispatch, err error) {
	d = new(StaticDispatch)
	for which, ints := range map[IntMap]*[]int32{
		MapDispatchSlot: &d.Slot, MapDispatchPlacement: &d.Placement, MapDispatchRanks: &d.Ranks,
	} {
		if *ints, err = fetch[int32](c, int32(which), nil); err != nil {
			return nil, err
		}
	}
	for which, floats := range map[FloatMap]*[]float64{
		MapDispatchLoad: &d.Load, MapDispatchImbalance: &d.Imbalance, MapDispatchBound: &d.Bound,
	} {
		if *floats, err = fetch[float64](c, int32(which), nil); err != nil {
			return nil, err
		}
	}
	return d, nil
}
