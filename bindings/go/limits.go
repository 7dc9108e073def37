package eplb

// Limit is a largest number. Its zero value is none: any number.
type Limit struct {
	most  int
	given bool
}

// AtMost is a limit of n, which may be 0.
func AtMost(n int) Limit { return Limit{n, true} }

// NoTarget as SolveOptions.Target: no imbalance is good enough, so layers get as good as the limits allow.
const NoTarget float64 = -1

// The largest imbalance that the library takes as a target.
const mostImbalance = 1024

// setLimit leaves C's default, which is none, where the caller has said nothing.
func setLimit(field *int64, argument string, limit Limit) error {
	if limit.most < 0 {
		return errorf(ErrInvalidArgument, "%s is %d, must be at least 0; the zero Limit is any number", argument, limit.most)
	}
	if limit.given {
		*field = int64(limit.most)
	}
	return nil
}

func setTarget(field *float64, argument string, target float64) error {
	switch {
	case target == NoTarget:
		*field = 0
	case target >= 1 && target <= mostImbalance:
		*field = target
	case target != 0:
		return errorf(ErrInvalidArgument, "%s is %v, must be 0 for the default, NoTarget, or 1 to %d", argument, target, mostImbalance)
	}
	return nil
}

func setFlag(field *int32, flag bool) {
	if flag {
		*field = 1
	}
}
