package eplb

import "unsafe"

// FetchInts copies a map of the solved plan, or of the last split or static dispatch, into dst and returns it, like append: dst is
// reused if its capacity is enough, and may be nil. On an error dst comes back as it was.
//
// Errors: ErrInvalidState before what the map is of, ErrUnavailable if there is no such map.
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
		return dst, c.check(status)
	}
	return filled, nil
}

// shape asks for the shape of a map, into c.dims; dimensions beyond its rank become 1.
func (c *Context) shape(which int32) error {
	return c.check(c.library.call.MapShape(c.handle, which, &c.rank, &c.dims[0], int64(len(c.dims)), &c.err))
}
