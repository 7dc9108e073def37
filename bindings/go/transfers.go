package eplb

import (
	"cmp"
	"iter"
	"slices"
	"unsafe"
)

// TransferKind is where a slot gets its contents from.
type TransferKind int

// Values of TransferKind.
const (
	WithinGPU    TransferKind = iota // a slot of the same GPU
	WithinNode                       // another GPU of the same node
	BetweenNodes                     // a GPU of another node
	Reload                           // a reload: no slot of the current placement holds the expert
)

var transferKindNames = names{"within_gpu", "within_node", "between_nodes", "reload"}

func (k TransferKind) String() string { return transferKindNames.of(int32(k)) }

// Transfer is how one slot of a layer gets its contents. Slots are those of the layer, not of the GPU.
type Transfer struct {
	Layer, Expert         int
	GPU, Slot             int // that receives; that is written
	SourceGPU, SourceSlot int // that sends; that is read; -1 for a reload
	Kind                  TransferKind
	Round                 int // 0: any time; from 1 on, the round; see TransferOrder
	Group                 int // with TransferInPlace the cycle that it belongs to, else -1
}

// Transfers is how one placement becomes another.
type Transfers struct {
	Source, Round, Group []int32 // [L,S]: see MapMoveSource, MapMoveRound and MapMoveGroup

	placement []int32
	slots     int
	nodes     []int // of the GPUs
}

// All lists the transfers by layer, round and slot.
func (t *Transfers) All() iter.Seq[Transfer] {
	return func(yield func(Transfer) bool) {
		for first := 0; first < len(t.Source); first += t.slots {
			for _, slot := range t.ofLayer(first) {
				if !yield(t.transfer(first, slot)) {
					return
				}
			}
		}
	}
}

// ofLayer lists the slots that are written, by round, of the layer whose slots begin at first.
func (t *Transfers) ofLayer(first int) []int {
	round := t.Round[first : first+t.slots]
	var written []int
	for slot := range round {
		if round[slot] >= 0 {
			written = append(written, slot)
		}
	}
	slices.SortStableFunc(written, func(a, b int) int { return cmp.Compare(round[a], round[b]) })
	return written
}

func (t *Transfers) transfer(first, slot int) Transfer {
	i, perGPU := first+slot, t.slots/len(t.nodes)
	transfer := Transfer{
		Layer: first / t.slots, Expert: int(t.placement[i]), GPU: slot / perGPU, Slot: slot,
		SourceGPU: -1, SourceSlot: -1, Kind: Reload, Round: int(t.Round[i]), Group: int(t.Group[i]),
	}
	if source := int(t.Source[i]); source >= 0 {
		transfer.SourceSlot, transfer.SourceGPU = source, source/perGPU
		transfer.Kind = t.kind(transfer.SourceGPU, transfer.GPU)
	}
	return transfer
}

func (t *Transfers) kind(from, to int) TransferKind {
	switch {
	case from == to:
		return WithinGPU
	case t.nodes[from] == t.nodes[to]:
		return WithinNode
	default:
		return BetweenNodes
	}
}

// PlanTransfers works out how one placement becomes another, for any two; it needs no weights. What was uploaded and solved
// stays as it is. Both are [L,S], the expert in each slot now and afterwards, -1 for none; experts may be missing. Of the
// problem, only slots, GPUs and nodes matter. It works on the host, on a CUDA context too. The report has figures of moves
// only. An empty order means the library's default.
//
// Errors: ErrInvalidPlacement naming array, layer and slot; ErrInvalidArgument for sizes that do not fit each other;
// ErrUnavailable for an order that the library does not have.
func (c *Context) PlanTransfers(problem Problem, order TransferOrder, current, placement []int32) (*Transfers, Report, error) {
	if err := c.acquire(); err != nil {
		return nil, Report{}, err
	}
	defer c.release()
	if len(current) != len(placement) {
		return nil, Report{}, errorf(ErrInvalidArgument, "current has %d elements and placement %d: both must have layers * slots",
			len(current), len(placement))
	}
	if err := c.setSolve(problem, SolveOptions{TransferOrder: order}); err != nil {
		return nil, Report{}, err
	}
	t := c.newTransfers(slices.Clone(placement))
	c.report = c.library.report
	data := func(ints []int32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(ints)) }
	status := c.library.call.PlanTransfers(c.handle, &c.problem, c.options.TransferOrder, data(current), data(placement),
		data(t.Source), data(t.Round), data(t.Group), int64(len(placement)), int32(Int32), &c.report, &c.err)
	if status != 0 {
		return nil, Report{}, c.check(status)
	}
	return t, c.report.inGo(), nil
}

// newTransfers has room for the transfers to a placement of c.problem.
func (c *Context) newTransfers(placement []int32) *Transfers {
	maps := make([]int32, 3*len(placement))
	n := len(placement)
	return &Transfers{
		Source: maps[:n:n], Round: maps[n : 2*n : 2*n], Group: maps[2*n:],
		placement: placement,
		slots:     int(c.problem.NumSlots), nodes: c.nodes(int(c.problem.NumGpus), int(c.problem.NumNodes)),
	}
}

// fetchTransfers fetches those from the current placement to the plan.
func (c *Context) fetchTransfers(p *Plan, numNodes int) (t *Transfers, err error) {
	t = &Transfers{placement: slices.Clone(p.PhysicalToLogical), slots: p.NumSlots, nodes: c.nodes(p.NumGPUs, numNodes)}
	for which, ints := range map[IntMap]*[]int32{MapMoveSource: &t.Source, MapMoveRound: &t.Round, MapMoveGroup: &t.Group} {
		if *ints, err = fetch[int32](c, int32(which), nil); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Transfers returns how the current placement becomes this plan; nil if none was uploaded before the solve.
func (p *Plan) Transfers() *Transfers { return p.transfers }
