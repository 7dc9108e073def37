package eplb

// DevicePointer is an address in the memory of a CUDA device, as cudaMalloc or cuMemAlloc gives it. It is a number to Go,
// whose garbage collector neither keeps nor frees what lies there. Host memory, Go's or not, is none.
type DevicePointer uintptr

// DeviceArray refers to elements in device memory, contiguous and in C order. A caller that makes one promises what neither Go nor
// the library can see: that it is memory of the context's device and as long as is said, and that until the stream has done
// what was queued with it, in a graph every replay, it stays allocated, nobody writes what is read, and nobody touches what
// is written.
type DeviceArray struct {
	Pointer DevicePointer // the first element
	Length  int           // elements, not bytes
	DType   DType
}

// Stream is a CUDA stream of the context's device, a cudaStream_t or CUstream; 0 is that device's default stream. Device calls
// are done in its order. The library adds no order between streams: what builds on each other, like an upload and its solve,
// is queued on one, or ordered by the program. A stream must live until the context is closed, or until Synchronize has
// returned after the last call on it.
type Stream uintptr

// WeightShape is the shape of weights [windows, layers, experts].
type WeightShape struct {
	Windows         int // default 1; windows are summed in order
	Layers, Experts int
}

func (s WeightShape) windows() int64 {
	if s.Windows == 0 {
		return 1
	}
	return int64(s.Windows)
}

// Map is an IntMap or a FloatMap.
type Map interface{ number() int32 }

func (m IntMap) number() int32   { return int32(m) }
func (m FloatMap) number() int32 { return int32(m) }

// Reserve gets all memory for weights of such a type and shape, solved so: later calls up to this size allocate nothing. It is
// the only call that prepares UploadWeightsDevice, SolveDevice and FetchMapDevice, and the only limit on them. What was
// uploaded and solved is discarded. Buffers stay where they are until the next Reserve or Close, after which a CUDA graph that
// was captured before must not be launched. On the CPU this is a hint: memory grows on demand there.
//
// Errors: ErrInvalidArgument and ErrUnavailable as SolveUploaded; ErrDeviceOutOfMemory, which is also ErrOutOfMemory.
func (c *Context) Reserve(dtype DType, shape WeightShape, problem Problem, options SolveOptions) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := c.setSolve(problem, options); err != nil {
		return err
	}
	c.changes++
	return c.check(c.library.call.ContextReserve(c.handle, int32(dtype), shape.windows(), int64(shape.Layers),
		int64(shape.Experts), &c.problem, &c.options, &c.err))
}

// UploadWeightsDevice is Upload from device memory, in the order of the stream: it is queued there and returns at once. It
// never waits, never allocates, and can be captured in a CUDA graph and replayed with new weights in the same memory. The
// weights are copied: once the stream has done so, their memory is the caller's again.
//
// Errors: ErrInvalidArgument on a CPU context and for a shape that does not fit the length; ErrInvalidState beyond what was
// reserved. A bad weight is found on the device, later: its layer is solved as a layer of zeros, and only Synchronize or
// Report tells.
func (c *Context) UploadWeightsDevice(weights DeviceArray, shape WeightShape, stream Stream) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	status := c.library.call.UploadWeightsDevice(c.handle, weights.Pointer, int64(weights.Length), int32(weights.DType),
		shape.windows(), int64(shape.Layers), int64(shape.Experts), stream, &c.err)
	if status == 0 {
		c.layers, c.windows = shape.Layers, int(shape.windows())
		c.changes, c.onDevice = c.changes+1, true
	}
	return c.check(status)
}

// UploadPlacementDevice is UploadPlacement from device memory, in the order of the stream: it is queued there and returns at
// once, never waits, never allocates, and can be captured.
//
// Errors: as UploadWeightsDevice. A number that is neither an expert of the weights nor -1 is found on the device, later: the
// current placement of its layer counts as empty, and only Synchronize or Report reports ErrInvalidPlacement.
func (c *Context) UploadPlacementDevice(physicalToLogical DeviceArray, layers, slots int, stream Stream) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	status := c.library.call.UploadPlacementDevice(c.handle, physicalToLogical.Pointer, int64(physicalToLogical.Length),
		int32(physicalToLogical.DType), int64(layers), int64(slots), stream, &c.err)
	if status == 0 {
		c.hasCurrent = physicalToLogical.Pointer != 0
		c.changes, c.onDevice = c.changes+1, true
	}
	return c.check(status)
}

// SolveDevice is SolveUploaded in the order of the stream: it is queued there and returns at once, never waits, never
// allocates, and can be captured. Host calls on the context, like FetchInts and Report, wait for it.
//
// Errors: as SolveUploaded for the problem and the options, ErrInvalidArgument on a CPU context, ErrInvalidState beyond what
// was reserved. What only the weights can tell comes later, from Synchronize or Report only.
func (c *Context) SolveDevice(problem Problem, options SolveOptions, stream Stream) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := c.setSolve(problem, options); err != nil {
		return err
	}
	status := c.library.call.SolveDevice(c.handle, &c.problem, &c.options, stream, &c.err)
	if status == 0 {
		c.changes, c.onDevice = c.changes+1, true
		c.numNodes = int(c.problem.NumNodes)
	}
	return c.check(status)
}

// FetchMapDevice copies a map of the solved plan into device memory, in the order of the stream: it is queued there and
// returns at once, never waits, never allocates, and can be captured. MapShape tells how long the array must be.
//
// Errors: ErrInvalidArgument on a CPU context, for a length or type that is not the map's, and if there is no such map;
// ErrInvalidState before a solve. None of these is late: only Synchronize and Report report bad weights.
func (c *Context) FetchMapDevice(which Map, array DeviceArray, stream Stream) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if which == nil {
		return errorf(ErrInvalidArgument, "the map is nil")
	}
	return c.check(c.library.call.FetchMapDevice(c.handle, which.number(), int32(array.DType), array.Pointer,
		int64(array.Length), stream, &c.err))
}

// MapShape returns the dimensions of a map of the solved plan; while there is none, those that it has for what Reserve was last
// given. It does not wait for the device.
//
// Errors: ErrInvalidState without a plan if nothing was reserved, ErrInvalidArgument if there is no such map.
func (c *Context) MapShape(which Map) ([]int, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	if which == nil {
		return nil, errorf(ErrInvalidArgument, "the map is nil")
	}
	if err := c.shape(which.number()); err != nil {
		return nil, err
	}
	shape := make([]int, c.rank)
	for i := range shape {
		shape[i] = int(c.dims[i])
	}
	return shape, nil
}

// Synchronize waits until everything asked of the context is done, and tells once what only the device could find out. On a
// CPU context all calls return finished, so this does nothing.
//
// These late errors come from here and from Report only, and from Plan, which fetches a report: from whichever is called
// first, and then no more.
//
// Errors: ErrInvalidWeight with the lowest layer and expert, whose layer was solved as a layer of zeros; ErrInvalidArgument if
// StrategyGreedy could not keep MaxReplicas there.
func (c *Context) Synchronize() error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	return c.check(c.library.call.ContextSynchronize(c.handle, &c.err))
}
