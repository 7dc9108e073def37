package eplb

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

// FuzzSolve gives the library any shape, options and bytes as weights: it answers with a placement that holds, or with a
// refusal that says why. Without -fuzz the seeds below run.
func FuzzSolve(f *testing.F) {
	f.Add(int16(1), int16(2), int16(8), int32(16), int32(8), int16(1), int16(1), uint8(0), uint64(0), int16(0), []byte{1, 2, 3})
	f.Add(int16(2), int16(1), int16(12), int32(16), int32(8), int16(2), int16(4), uint8(0b0010_0101), uint64(7), int16(3), []byte("weights"))
	f.Add(int16(1), int16(1), int16(12), int32(290), int32(32), int16(0), int16(-1), uint8(0b0001_0010), uint64(1), int16(-1), []byte{})
	f.Add(int16(1), int16(1), int16(4), int32(math.MaxInt32), int32(1), int16(5), int16(5), uint8(0b0000_1111), uint64(math.MaxUint64), int16(1), []byte{0xff, 0xff, 0xc0, 0x7f})
	f.Add(int16(-1), int16(3), int16(0), int32(0), int32(-4), int16(1), int16(1), uint8(0xff), uint64(0), int16(0), []byte{0x80})
	f.Add(int16(1), int16(3), int16(16), int32(24), int32(12), int16(3), int16(4), uint8(0b0110_1000), uint64(9), int16(0), []byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, windows, layers, experts int16, slots, gpus int32, nodes, groups int16, choice uint8, seed uint64, limit int16, content []byte) {
		shape := [3]int{int(windows) % 4, int(layers) % 6, int(experts) % 65}
		if slots > 4096 && slots%2 == 0 {
			slots %= 4096 // large ones may be legal, and slow; odd ones stay as they are, to be refused
		}
		problem := Problem{NumSlots: int(slots), NumGPUs: int(gpus), NumNodes: int(nodes), NumGroups: int(groups)}
		problem.Policy = Policy(policyNames[int(choice>>4)%len(policyNames)])
		problem.Bound = BoundKind(boundNames[int(choice>>6)%2])
		options := SolveOptions{Strategy: Strategy(strategyNames[int(choice>>2)%len(strategyNames)]), Seed: seed, MaxReplicas: int(limit)}
		if options.Strategy == StrategyBest {
			options.Effort = EffortFast
		}
		if problem.NumSlots > 4096 && shape[2] > 0 && problem.NumGPUs > 0 && problem.NumSlots%problem.NumGPUs == 0 {
			t.Skip("large and legal")
		}
		context := newContext(t)
		defer context.Close()
		switch in := fuzzedInput(choice&3, content, shape, problem, options); {
		case in.sums == nil:
			_, err := context.Solve(in.weights, problem, options)
			checkRefusal(t, err)
		default:
			p, err := context.Solve(in.weights, problem, options)
			if err != nil {
				checkRefusal(t, err)
				return
			}
			checkPlacement(t, context, in, p)
		}
	})
}

// fuzzedInput makes weights of a type out of bytes, which begin anew where they end. Shapes that are none get what there
// is, and no sums: they are refused.
func fuzzedInput(dtype uint8, content []byte, shape [3]int, problem Problem, options SolveOptions) input {
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
	switch dtype {
	case 0:
		return fuzzedOf(words, func(w uint64) float32 { return math.Float32frombits(uint32(w)) }, shape, length, problem, options)
	case 1:
		return fuzzedOf(words, math.Float64frombits, shape, length, problem, options)
	case 2:
		return fuzzedOf(words, func(w uint64) int32 { return int32(w) }, shape, length, problem, options)
	default:
		return fuzzedOf(words, func(w uint64) int64 { return int64(w) }, shape, length, problem, options)
	}
}

func fuzzedOf[T Number](words []uint64, convert func(uint64) T, shape [3]int, length int, problem Problem, options SolveOptions) input {
	var values []T
	for _, word := range words {
		values = append(values, convert(word))
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
