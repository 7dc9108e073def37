package eplb

import "unsafe"

// IntMap names a map of the solved plan that holds integers.
type IntMap int32

// The integer maps. Replica order is the order in which the replicas were created, the original first.
const (
	MapPhysicalToLogical IntMap = 0 // [L,S]: the expert in each slot (-1 is reserved for empty slots)
	MapLogicalToPhysical IntMap = 1 // [L,E,X]: the slots of each expert in replica order, then -1. X: MaxReplicas, or S - E + 1
	MapReplicaCount      IntMap = 2 // [L,E]
	MapReplicaSlots      IntMap = 3 // [L,S]: the slots of expert 0, of expert 1, ...: CSR with the counts
	MapDuplicates        IntMap = 7 // [L]: slots whose expert already sits in a lower slot of the same GPU
)

// FloatMap names a map of the solved plan that holds real numbers.
type FloatMap int32

// The maps of real numbers.
const (
	MapGPULoad   FloatMap = 4 // [L,G], in the weights' unit
	MapImbalance FloatMap = 5 // [L]: largest over mean GPU load
	MapBound     FloatMap = 6 // [L]: no placement has a largest GPU load below this, in the weights' unit
)

// FetchInts copies a map of the solved plan into dst and returns it, like append: dst is reused if its capacity is enough,
// and may be nil. On an error dst comes back as it was.
//
// Errors: ErrInvalidState before a solve, ErrInvalidArgument if there is no such map.
func (c *Context) FetchInts(which IntMap, dst []int32) ([]int32, error) {
	if err := c.acquire(); err != nil {
		return dst, err
	}
	defer c.release()
	return fetch(c, int32(which), dst)
}

// FetchFloats is FetchInts for the maps of real numbers.
func (c *Context) FetchFloats(which FloatMap, dst []float64) ([]float64, error) {
	if err := c.acquire(); err != nil {
		return dst, err
	}
	defer c.release()
	return fetch(c, int32(which), dst)
}

func fetch[T int32 | int64 | float64](c *Context, which int32, dst []T) ([]T, error) {
	if err := c.shape(which); err != nil {
		return dst, err
	}
	length := int(c.dims[0] * c.dims[1] * c.dims[2] * c.dims[3])
	filled := dst
	if cap(filled) < length {
		filled = make([]T, length)
	}
	filled = filled[:length]
	buffer := unsafe.Pointer(unsafe.SliceData(filled))
	status := c.library.call.FetchMap(c.handle, which, int32(dtypeOf[T]()), buffer, int64(length), &c.err)
	if status != 0 {
		return dst, c.err.check(status)
	}
	return filled, nil
}

// shape asks for the shape of a map, into c.dims; dimensions beyond its rank become 1.
func (c *Context) shape(which int32) error {
	return c.err.check(c.library.call.MapShape(c.handle, which, &c.rank, &c.dims[0], int64(len(c.dims)), &c.err))
}
