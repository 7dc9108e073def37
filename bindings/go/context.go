package eplb

import (
	"context"
	"runtime"
	"sync"
	"time"
	"unsafe"
	"weak"
)

// ContextOptions is what a context is made of. The zero value means the library's defaults.
type ContextOptions struct {
	Device     string // "cpu" (the default), "cuda" or "cuda:1". CUDA is never used unasked
	NumThreads int    // CPU threads of a solve, the caller's included; default 1. Any number gives the same answer
}

// Context owns uploaded weights, the solved plan and the memory of the search; keep it for repeated solves. It serves one
// call at a time: a call that comes while another runs is refused with ErrInvalidState. A copy is the same context.
type Context struct {
	*session
	ctx context.Context // ends calls when it is done; nil: nothing does
}

// session is what all copies of a Context share: none of them can free the handle again, or use it after that.
type session struct {
	library *Library
	handle  cHandle // 0 when closed
	cleanup runtime.Cleanup
	mutex   sync.Mutex    // held by every call; C would see two calls at once, but not a stranger between an upload and its solve
	reading chan struct{} // full, and mutex held after it, while a plan fetches its report
	unwatch func()        // ends what ends the call; nil if nothing does. Guarded by mutex

	// C's side of a call, here so that calls allocate nothing. Guarded by mutex.
	err             cError
	problem         cProblem
	options         cSolveOptions
	splitOptions    cSplitOptions
	dispatchOptions cStaticDispatchOptions
	report          cReport
	dims            [4]int64
	rank            int32
	layers          int // of the uploaded weights
	windows         int // of the uploaded weights

	hasCurrent bool  // a current placement was uploaded
	hasCluster bool  // a cluster was uploaded
	hasPrices  bool  // prices were uploaded
	gpuNodes   []int // of that cluster, if it has nodes
	numNodes   int   // of the last solve

	changes  int  // of weights and plan: a plan's figures can be fetched as long as this stays
	onDevice bool // there were device calls; a graph may replay them, which nobody sees
}

// cHandle is an eplb_context *, which Go's garbage collector has no business with.
type cHandle uintptr

// NewContext makes a context. Close it when it is no longer needed; one that is forgotten is freed some time after the
// garbage collector finds it, which knows nothing of CUDA graphs that still need its memory.
//
// Errors: ErrInvalidArgument for options that cannot be; ErrNotBuilt, ErrNoDriver or ErrNoDevice, all of them also
// ErrUnavailable, for a device that cannot be had.
func (l *Library) NewContext(options ContextOptions) (*Context, error) {
	if err := l.unloaded(); err != nil {
		return nil, err
	}
	given := l.contextOptions
	if err := given.setDevice(options.Device); err != nil {
		return nil, err
	}
	setUnlessZero(&given.NumThreads, options.NumThreads)
	s := &session{library: l, reading: make(chan struct{}, 1)}
	if err := s.err.check(l.call.ContextCreate(&s.handle, &given, &s.err)); err != nil {
		return nil, err
	}
	// Must not refer to the session, or it would never be found unreachable.
	s.cleanup = runtime.AddCleanup(s, l.call.ContextDestroy, s.handle)
	return &Context{session: s}, nil
}

// WithContext returns the same context, whose calls end when ctx is done, within milliseconds. The error is ErrInterrupted
// and ctx.Err(), context.Canceled or context.DeadlineExceeded, to errors.Is, and everything is as before the call, but for
// what Solve or Rebalance had uploaded before it solved. When ctx is done already, nothing begins; a call whose work is done
// by then succeeds. Work that device calls have queued on a stream is not stopped.
//
// Neither c nor a plan is bound to ctx: Plan.ReportContext takes one of its own. Closing either context closes both.
func (c *Context) WithContext(ctx context.Context) *Context {
	if c == nil {
		return nil
	}
	if ctx != nil && ctx.Done() == nil {
		ctx = nil // it is never done, so there is nothing to watch
	}
	return &Context{c.session, ctx}
}

// Close frees everything; plans that were fetched stay valid. It waits for a call that runs in another goroutine;
// calls after it are refused with ErrInvalidState, but for Close itself. It always returns nil.
func (c *Context) Close() error {
	if c == nil || c.session == nil {
		return nil
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.handle != 0 {
		// After Stop the cleanup does not run, as the session is reachable still: it is unlocked below.
		c.cleanup.Stop()
		c.library.call.ContextDestroy(c.handle)
		c.handle = 0
	}
	return nil
}

// Upload copies weights into the context, for any number of solves and evaluations. A plan that was solved before is
// discarded; after an error weights and plan are as they were.
//
// Errors: ErrInvalidArgument for a shape that does not fit the values; ErrInvalidWeight naming layer and expert for NaN,
// infinite and negative weights and for sums that are out of range. A layer of zeros is solved as if all its experts
// weighed the same.
func (c *Context) Upload(weights Weights) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	return c.upload(weights)
}

func (c *Context) upload(weights Weights) error {
	status := c.library.call.UploadWeights(c.handle, weights.data, int64(weights.length), int32(weights.dtype),
		int64(weights.windows), int64(weights.layers), int64(weights.experts), &c.err)
	if status == 0 {
		c.layers, c.windows = weights.layers, weights.windows
		c.changes++
	}
	return c.check(status)
}

// UploadPlacement copies the current placement [layers, slots] into the context, so that later plans say how it becomes
// them: Plan.Transfers, FetchInts of MapMoveSource and the maps after it, and reports. It does not change what is solved. Each element is
// the expert that a slot holds, -1 where it is empty or cannot be read; experts may be missing. It stays until the next
// one, or until ForgetPlacement; plans must have its layers and slots. A plan that was solved before is discarded, but
// not after an error.
//
// Errors: ErrInvalidPlacement naming layer and slot for a number that can be no expert; ErrInvalidArgument for sizes that do
// not fit.
func (c *Context) UploadPlacement(physicalToLogical []int32, layers, slots int) error {
	if len(physicalToLogical) == 0 {
		return errorf(ErrInvalidArgument, "physicalToLogical is empty: ForgetPlacement forgets the current placement")
	}
	return c.uploadPlacement(physicalToLogical, layers, slots)
}

// ForgetPlacement ends what UploadPlacement began. A plan that was solved before is discarded.
func (c *Context) ForgetPlacement() error { return c.uploadPlacement(nil, 0, 0) }

func (c *Context) uploadPlacement(experts []int32, layers, slots int) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	return c.setCurrent(experts, layers, slots)
}

func (c *Context) setCurrent(experts []int32, layers, slots int) error {
	placement := unsafe.Pointer(unsafe.SliceData(experts))
	status := c.library.call.UploadPlacement(c.handle, placement, int64(len(experts)), int32(Int32),
		int64(layers), int64(slots), &c.err)
	if status == 0 {
		c.hasCurrent = experts != nil
		c.changes++
	}
	return c.check(status)
}

// Solve uploads weights, computes a plan and fetches it. Loops that need one map only, or several solves of the same
// weights, take Upload, SolveUploaded and FetchInts instead.
//
// Errors: those of Upload and SolveUploaded. The weights stay uploaded if it is the solve that is refused.
func (c *Context) Solve(weights Weights, problem Problem, options SolveOptions) (*Plan, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	// Names that cannot be are refused before anything happens.
	if err := c.setSolve(problem, options); err != nil {
		return nil, err
	}
	return c.uploadAndSolve(weights, problem)
}

// Rebalance uploads weights and the current placement [layers, slots], changes the placement by few moves, and fetches
// the new plan with its report. A move is a GPU and an expert that it gets. Without limits, layers whose imbalance is
// above 1.02 are brought to that with as few moves as possible, and the others stay as they are; the options have limits,
// each of which is kept exactly. Moves of experts that can stay on no GPU, because theirs are dead or lose slots, are
// forced: they come first and count like all others. options.Strategy is not looked at.
//
// Errors: those of Upload, UploadPlacement and SolveUploaded; ErrInvalidArgument, with both numbers, for a limit below the
// moves that are forced.
func (c *Context) Rebalance(weights Weights, current []int32, problem Problem, options SolveOptions) (*Plan, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	options.Strategy = StrategyRebalance
	if err := c.setSolve(problem, options); err != nil {
		return nil, err
	}
	if len(current) == 0 {
		return nil, errorf(ErrInvalidArgument, "current is empty, must have layers * slots = %d * %d experts",
			weights.layers, problem.NumSlots)
	}
	if err := c.setCurrent(current, weights.layers, problem.NumSlots); err != nil {
		return nil, err
	}
	return c.uploadAndSolve(weights, problem)
}

// uploadAndSolve solves what setSolve has set.
func (c *Context) uploadAndSolve(weights Weights, problem Problem) (*Plan, error) {
	if err := c.upload(weights); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := c.solve(); err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	if c.hasCurrent || c.hasCluster || c.hasPrices || c.options.AllowEmpty != 0 {
		// Another context could not tell later how many moves there were, nor that slots might have stayed empty, and has no
		// cluster and no prices.
		return c.planWithFigures()
	}
	plan, err := c.plan()
	if err != nil {
		return nil, err
	}
	strategy := Strategy(strategyNames.of(c.options.Strategy))
	plan.source = &source{c.library, weak.Make(c.session), c.changes, weights.copied(), weights.windows, problem, strategy, elapsed}
	return plan, nil
}

func (c *Context) solve() error {
	status := c.library.call.Solve(c.handle, &c.problem, &c.options, &c.err)
	if status == 0 {
		c.changes++
		c.numNodes = int(c.problem.NumNodes)
	}
	return c.check(status)
}

// SolveUploaded computes a plan for the uploaded weights and keeps it in the context, for Plan, Report,
// FetchInts and FetchFloats. After an error the plan of the last good solve is still there.
//
// Errors: ErrInvalidArgument with the numbers and the nearest legal value for sizes that do not fit each other;
// ErrInvalidState before an upload; ErrUnavailable for a strategy, effort, policy, bound, objective or transfer order that
// the library does not have; ErrInvalidPlacement for a current placement with an expert that the weights lack; ErrInvalidWeight if
// StrategyGreedy cannot hold a weight in its float32.
func (c *Context) SolveUploaded(problem Problem, options SolveOptions) error {
	if err := c.acquire(); err != nil {
		return err
	}
	defer c.release()
	if err := c.setSolve(problem, options); err != nil {
		return err
	}
	return c.solve()
}

func (c *Context) setSolve(problem Problem, options SolveOptions) error {
	c.options = c.library.solveOptions
	return firstRefusal(c.setProblem(problem), options.in(&c.options))
}

func (c *Context) setProblem(problem Problem) error {
	c.problem = c.library.problem
	return problem.in(&c.problem)
}

// setUnlessZero leaves C's default where the caller has said nothing.
func setUnlessZero[C int32 | int64 | uint64 | float64, Go int | uint64 | float64](field *C, value Go) {
	if value != 0 {
		*field = C(value)
	}
}
