package eplb

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

// FuzzSolve gives the library any shape, options and bytes as weights: it answers with a placement that holds, or with a
// refusal that says why. Without -fuzz the seeds below run.
//
// Most of what chance makes is refused, so one bit of choice tames the weights and another makes sizes that fit each other;
// with both, a refusal is a fault.
func FuzzSolve(f *testing.F) {
	add := func(windows, layers, experts int8, gpus, perGPU, more, nodes, groups int16, choice uint16, seed uint64, limit int16, content string) {
		f.Add(windows, layers, experts, gpus, perGPU, more, nodes, groups, choice, seed, limit, []byte(content))
	}
	add(1, 2, 8, 8, 2, 0, 1, 1, 0x18|tame|legal, 0, 0, "\x01\x02\x03")
	add(2, 1, 12, 8, 2, 0, 2, 4, 0x05|tame|legal, 7, 3, "weights")
	add(1, 3, 16, 12, 2, 0, 3, 3, 0x12|tame|legal, 9, 0, "0123456789abcdef")
	add(3, 2, 64, 16, 5, 0, 1, 1, 0x1b|tame|legal, math.MaxUint64, 0, "zyxwvutsrqponmlkjihgfedcba")
	add(1, 1, 12, 32, 9, 2, 0, -1, 0x12, 1, -1, "")
	add(1, 1, 4, 1, math.MaxInt16, 0, 5, 5, 0x0f, 1, 1, "\xff\xff\xc0\x7f")
	add(-1, 3, 0, -4, 0, 0, 1, 1, 0xff, 0, 0, "\x80")
	f.Fuzz(func(t *testing.T, windows, layers, experts int8, gpus, perGPU, more, nodes, groups int16, choice uint16, seed uint64, limit int16, content []byte) {
		shape := [3]int{int(windows) % 4, int(layers) % 6, int(experts) % 65}
		problem := Problem{NumSlots: int(gpus)*int(perGPU) + int(more), NumGPUs: int(gpus), NumNodes: int(nodes), NumGroups: int(groups)}
		if problem.NumSlots > 2048 {
			problem.NumSlots, problem.NumGPUs = problem.NumSlots%2048, problem.NumGPUs%512 // larger ones may be legal, and slow
		}
		if choice&legal != 0 {
			shape, problem = fitted(shape, problem, int(perGPU))
			limit = 0
		}
		problem.Policy = Policy(policyNames[int(choice>>6)%len(policyNames)])
		problem.Bound = BoundKind(boundNames[int(choice>>8)%2])
		options := SolveOptions{Strategy: Strategy(fromWeights[int(choice>>2)%len(fromWeights)]), Seed: seed, MaxReplicas: int(limit)}
		if options.Strategy == StrategyBest {
			options.Effort = EffortFast
		}
		context := newContext(t)
		defer context.Close()
		in := fuzzedInput(choice, content, shape, problem, options)
		p, err := context.Solve(in.weights, problem, options)
		if err != nil {
			checkRefusal(t, err)
			if choice&legal != 0 && choice&tame != 0 {
				t.Errorf("%v, %+v: %v", shape, problem, err)
			}
			return
		}
		if in.sums == nil {
			t.Fatalf("a shape of %v was solved", shape)
		}
		checkPlan(t, context, in, p)
	})
}

const (
	tame  = 1 << 15 // weights from 0 to 2^20
	legal = 1 << 14 // sizes that fit each other, and no cap
)

// fitted makes sizes that fit each other out of any.
func fitted(shape [3]int, p Problem, perGPU int) ([3]int, Problem) {
	from := func(size, least, many int) int { return least + max(size, -size)%many }
	p.NumNodes = from(p.NumNodes, 1, 4)
	p.NumGPUs = p.NumNodes * from(p.NumGPUs, 1, 8)
	p.NumGroups = p.NumNodes * from(p.NumGroups, 1, 3)
	experts := p.NumGroups * from(shape[2], 1, 12)
	p.NumSlots = p.NumGPUs * ((experts+p.NumGPUs-1)/p.NumGPUs + from(perGPU, 0, 3))
	return [3]int{from(shape[0], 1, 3), from(shape[1], 1, 4), experts}, p
}

// fuzzedInput makes weights of a type out of bytes, which start over where they end. Shapes that are none get what there
// is, and no sums: they are refused.
func fuzzedInput(choice uint16, content []byte, shape [3]int, problem Problem, options SolveOptions) input {
	length := max(shape[0], 0) * max(shape[1], 0) * max(shape[2], 0)
	words := make([]uint64, max(length, 1))
	if len(content) > 0 {
		var word [8]byte
		for i := range words {
			for j := range word {
				word[j] = content[(i*8+j)%len(content)]
			}
			words[i] = binary.LittleEndian.Uint64(word[:])
		}
	}
	wild := choice&tame == 0
	switch choice & 3 {
	case 0:
		return fuzzedOf(words, wild, func(w uint64) float32 { return math.Float32frombits(uint32(w)) }, shape, length, problem, options)
	case 1:
		return fuzzedOf(words, wild, math.Float64frombits, shape, length, problem, options)
	case 2:
		return fuzzedOf(words, wild, func(w uint64) int32 { return int32(w) }, shape, length, problem, options)
	default:
		return fuzzedOf(words, wild, func(w uint64) int64 { return int64(w) }, shape, length, problem, options)
	}
}

func fuzzedOf[T Number](words []uint64, wild bool, convert func(uint64) T, shape [3]int, length int, problem Problem, options SolveOptions) input {
	values := make([]T, len(words))
	for i, word := range words {
		if wild {
			values[i] = convert(word)
		} else {
			values[i] = T(word >> 44)
		}
	}
	if length == 0 {
		return input{weights: NewWindows(values, shape[0], shape[1], shape[2])}
	}
	return inputOf(values, shape, problem, options)
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Message == "" {
		t.Fatalf("got %v", err)
	}
	switch refusal.Status {
	case ErrInvalidArgument, ErrInvalidWeight:
	default:
		t.Errorf("%v: %v", refusal.Status, err)
	}
}
