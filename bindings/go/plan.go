package eplb

// Plan is what a solve answers. It stays as it is when its context solves again or is closed. Its maps are there at once;
// what takes a computation, Report and GPULoad, is computed when it is first read, by any goroutine, and kept.
type Plan struct {
	NumLayers, NumExperts, NumSlots, NumGPUs int // L, E, S, G

	PhysicalToLogical []int32 // [L,S]: the expert in each slot, -1 where it is closed or empty. GPU g owns slots g*S/G to (g+1)*S/G - 1
	ReplicaCount      []int32 // [L,E]
	ReplicaSlots      []int32 // [L,S]: the slots of expert 0 in replica order, then those of expert 1, and so on, then -1
	MaxReplicas       int     // X, the width of LogicalToPhysical: the cap that was given, else S - E + 1

	transfers *Transfers // from the current placement, if there was one

	*figures
}

// figures of a plan, the same for all its copies.
type figures struct {
	turn    chan struct{} // full while somebody is at what follows
	source  *source       // what figures are computed from; nil once they are there
	report  *Report
	gpuLoad []float64
}

// Plan fetches the plan of SolveUploaded or SolveDevice with all its maps and figures: the context keeps no copy of the
// weights that they could be computed from later.
//
// Errors: ErrInvalidState before a solve; as it fetches a report, the late errors of device calls, see Synchronize.
func (c *Context) Plan() (*Plan, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	defer c.release()
	return c.planWithFigures()
}

func (c *Context) planWithFigures() (*Plan, error) {
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	if p.gpuLoad, err = fetch[float64](c, int32(MapGPULoad), nil); err != nil {
		return nil, err
	}
	report, err := c.fetchReport()
	if err != nil {
		return nil, err
	}
	p.report = &report
	if c.hasCurrent {
		if p.transfers, err = c.fetchTransfers(p, c.numNodes); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// plan fetches what is copied, not computed.
func (c *Context) plan() (p *Plan, err error) {
	// Shapes from the library, not from the last problem: a solve that was refused has left an older plan.
	if err := c.shape(int32(MapLogicalToPhysical)); err != nil {
		return nil, err
	}
	p = &Plan{NumLayers: int(c.dims[0]), NumExperts: int(c.dims[1]), MaxReplicas: int(c.dims[2])}
	p.figures = &figures{turn: make(chan struct{}, 1)}
	if p.PhysicalToLogical, err = fetch[int32](c, int32(MapPhysicalToLogical), nil); err != nil {
		return nil, err
	}
	if p.ReplicaCount, err = fetch[int32](c, int32(MapReplicaCount), nil); err != nil {
		return nil, err
	}
	if p.ReplicaSlots, err = fetch[int32](c, int32(MapReplicaSlots), nil); err != nil {
		return nil, err
	}
	p.NumSlots = len(p.PhysicalToLogical) / p.NumLayers
	if err := c.shape(int32(MapGPULoad)); err != nil {
		return nil, err
	}
	p.NumGPUs = int(c.dims[1])
	return p, nil
}

// Layer returns the expert in each slot of a layer: a part of PhysicalToLogical, not a copy.
func (p *Plan) Layer(layer int) []int32 {
	return p.PhysicalToLogical[layer*p.NumSlots : (layer+1)*p.NumSlots]
}

// GPU returns the experts that a GPU holds of a layer: a part of PhysicalToLogical, not a copy.
func (p *Plan) GPU(layer, gpu int) []int32 {
	perGPU := p.NumSlots / p.NumGPUs
	return p.Layer(layer)[gpu*perGPU : (gpu+1)*perGPU]
}

// LogicalToPhysical returns [L,E,X]: the slots of each expert in replica order, the original first, then -1. It is built
// when asked for: with S - E + 1 columns it is many times as large as the other maps.
func (p *Plan) LogicalToPhysical() []int32 {
	table := make([]int32, len(p.ReplicaCount)*p.MaxReplicas)
	var slots []int32
	for expert, count := range p.ReplicaCount {
		if expert%p.NumExperts == 0 {
			slots = p.ReplicaSlots[expert/p.NumExperts*p.NumSlots:]
		}
		row := table[expert*p.MaxReplicas : (expert+1)*p.MaxReplicas]
		n := copy(row, slots[:count])
		slots = slots[n:]
		for i := n; i < len(row); i++ {
			row[i] = -1
		}
	}
	return table
}
