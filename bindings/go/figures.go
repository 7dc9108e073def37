package eplb

import (
	"context"
	"time"
	"weak"
)

// source is what the figures of a plan are computed from, whatever its context does meanwhile: a garbage-collected language
// cannot know when nobody will read them, so the context never stops to compute them for an old plan.
type source struct {
	library  *Library
	session  weak.Pointer[session] // a plan does not keep its context's memory
	changes  int                   // of the context, when it had solved
	weights  Weights               // a copy, see Weights.copied
	windows  int                   // of the weights that were given
	problem  Problem
	strategy Strategy
	elapsed  time.Duration // of the solve by Go's clock
}

// Report tells how good the plan is. While the context still holds this plan, and no other call runs, the report is fetched
// from there; afterwards the placement is evaluated in a context of its own, which takes longer and gives the same figures,
// but for Elapsed, then measured from outside, and ContextBytes, then that context's.
//
// Errors: as NewContext and Evaluate; a plan for which it failed can be asked again.
func (p *Plan) Report() (Report, error) { return p.ReportContext(context.Background()) }

// ReportContext is Report that ends when ctx is done, as calls of Context.WithContext do.
func (p *Plan) ReportContext(ctx context.Context) (Report, error) {
	if ctx.Err() != nil {
		return Report{}, interrupted(ctx)
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return Report{}, interrupted(ctx)
	}
	defer p.endTurn()
	if p.report == nil {
		report, err := p.source.report(ctx, p)
		if err != nil {
			return Report{}, err
		}
		p.readLoads()
		// The weights are not needed any more.
		p.report, p.source = &report, nil
	}
	return *p.report, nil
}

// GPULoad returns [L,G]: the load of each GPU, in the weights' unit. The slice is the same each time.
func (p *Plan) GPULoad() []float64 {
	p.turn <- struct{}{}
	defer p.endTurn()
	p.readLoads()
	return p.gpuLoad
}

func (p *Plan) endTurn() { <-p.turn }

// readLoads adds up what each GPU holds, slot after slot, which gives the bits of MapGPULoad.
func (p *Plan) readLoads() {
	if p.gpuLoad != nil {
		return
	}
	shares := p.source.weights.summed().doubles()
	for expert, count := range p.ReplicaCount {
		shares[expert] /= float64(count)
	}
	p.gpuLoad = make([]float64, p.NumLayers*p.NumGPUs)
	perGPU := p.NumSlots / p.NumGPUs
	for slot, expert := range p.PhysicalToLogical {
		layer := slot / p.NumSlots
		p.gpuLoad[slot/perGPU] += shares[layer*p.NumExperts+int(expert)]
	}
}

func (s *source) report(ctx context.Context, p *Plan) (Report, error) {
	if session := s.session.Value(); session != nil {
		owner := (&Context{session: session}).WithContext(ctx)
		if owner.borrow() {
			defer owner.giveBack()
			if owner.changes == s.changes && !owner.onDevice {
				return owner.fetchReport()
			}
		}
	}
	return s.evaluate(ctx, p)
}

func (s *source) evaluate(ctx context.Context, p *Plan) (Report, error) {
	own, err := s.library.NewContext(ContextOptions{})
	if err != nil {
		return Report{}, err
	}
	defer own.Close()
	own = own.WithContext(ctx)
	if err := own.Upload(s.weights); err != nil {
		return Report{}, err
	}
	report, err := own.Evaluate(s.problem, p.PhysicalToLogical)
	report.Strategy, report.Elapsed = s.strategy, s.elapsed
	if s.windows > mostWindows {
		// The copy is their sum, which is one window.
		report.NumWindows, report.NumEmptyWindows, report.WindowsMean, report.WindowsWorst = 0, 0, 0, 0
		report.WorstWindow, report.WorstWindowLayer = 0, 0
	}
	return report, err
}
