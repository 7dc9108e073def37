package eplb

import "unsafe"

// UploadPrices copies prices [nodes, columns] of load by the node that serves it into the context: what serving an
// expert's load on a node costs, instead of 0 at home and 1 elsewhere. They are part of every later solve and evaluation
// with PolicySoft, whose problem must have these nodes; other policies ignore them. They stay until the next ones, or until
// ForgetPrices. A plan that was solved before is discarded, but not after an error.
//
// There is a column for each expert or for each group. Prices are finite and not negative, one is above 0; only ratios
// matter. A group begins on the node where it is cheapest, as far as there is room. MapOffHome is then what is paid, in
// parts of what all load would cost at the highest price, and MapOffHomeBound what is paid where every expert is on its
// cheapest node; the report has the same.
//
// Errors: ErrInvalidArgument, naming node and column, for prices that cannot be, and for sizes that do not fit each other.
func (c *Context) UploadPrices(prices []float64, nodes, columns int) error {
	if len(prices) == 0 {
		return errorf(ErrInvalidArgument, "prices is empty: ForgetPrices forgets them")
	}
	return c.uploadPrices(prices, nodes, columns)
}

// ForgetPrices ends what UploadPrices began. A plan that was solved before is discarded.
func (c *Context) ForgetPrices() error { return c.uploadPrices(nil, 0, 0) }

func (c *Context) uploadPrices(prices []float64, nodes, columns int) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	status := c.library.call.UploadPrices(c.handle, unsafe.SliceData(prices), int64(len(prices)), int64(nodes), int64(columns), &c.err)
	if status == 0 {
		c.hasPrices = prices != nil
		c.changes++
	}
	return c.check(status)
}

// UploadWindowWeights copies into the context how much each window matters to solves with ObjectiveWindows, whose weights
// must have as many windows. Without them all matter as much. A fading memory is decay to the power of the windows that
// came after. They stay until the next ones, or until ForgetWindowWeights. A plan that was solved before is discarded, but
// not after an error.
//
// They are finite and not negative, one is above 0; only ratios matter, and a window below 1/131072 of the highest is left
// out. Figures of windows do not depend on them.
//
// Errors: ErrInvalidArgument, naming the window, for weights that cannot be, and for more than the 64 windows that are kept.
func (c *Context) UploadWindowWeights(weights []float64) error {
	if len(weights) == 0 {
		return errorf(ErrInvalidArgument, "weights is empty: ForgetWindowWeights forgets them")
	}
	return c.uploadWindowWeights(weights)
}

// ForgetWindowWeights ends what UploadWindowWeights began. A plan that was solved before is discarded.
func (c *Context) ForgetWindowWeights() error { return c.uploadWindowWeights(nil) }

func (c *Context) uploadWindowWeights(weights []float64) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	status := c.library.call.UploadWindowWeights(c.handle, unsafe.SliceData(weights), int64(len(weights)), &c.err)
	if status == 0 {
		c.changes++
	}
	return c.check(status)
}
