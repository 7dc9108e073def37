package eplb

import (
	"reflect"
	"unsafe"
)

// Number is what weights may be: tokens routed to each expert, measured, or anything proportional to it. int is taken as
// the int64 or int32 that it is. Smaller and unsigned types must be converted.
type Number interface {
	~int | ~int32 | ~int64 | ~float32 | ~float64
}

// Weights refers to the weights of every expert of every layer. They are read, and copied, when they are uploaded; until
// then they stay the caller's slice.
type Weights struct {
	data                     unsafe.Pointer // the slice's first element; keeps the array alive
	length                   int
	dtype                    DType
	windows, layers, experts int
}

// NewWeights refers to weights [layers, experts]. A shape that does not fit the values is refused by Upload and Solve.
func NewWeights[T Number](values []T, layers, experts int) Weights {
	return NewWindows(values, 1, layers, experts)
}

// NewWindows refers to weights [windows, layers, experts], for instance one window for each minute. Windows are summed in
// order, floats in float64, integers exactly; reports tell how good a plan is in each of up to 64.
func NewWindows[T Number](values []T, windows, layers, experts int) Weights {
	return Weights{unsafe.Pointer(unsafe.SliceData(values)), len(values), dtypeOf[T](), windows, layers, experts}
}

// The library sums more windows than these and does not keep them.
const mostWindows = 64

// copied copies weights as the library keeps them: all windows, or the sum of more than mostWindows. The shape must fit the
// values.
func (w Weights) copied() Weights {
	if w.windows > mostWindows {
		return w.summed()
	}
	bytes := w.length * w.dtype.size()
	words := make([]uint64, (bytes+7)/8) // aligned for every type
	to := unsafe.Pointer(unsafe.SliceData(words))
	copy(unsafe.Slice((*byte)(to), bytes), unsafe.Slice((*byte)(w.data), bytes))
	w.data = to
	return w
}

// summed copies weights, windows summed as the library sums them: in order, floats in float64, integers exactly. The shape
// must fit the values.
func (w Weights) summed() Weights {
	switch {
	case w.dtype == Float32 && w.windows == 1:
		return sumWindows[float32, float32](w)
	case w.dtype == Float32:
		return sumWindows[float32, float64](w)
	case w.dtype == Float64:
		return sumWindows[float64, float64](w)
	case w.dtype == Int32:
		return sumWindows[int32, int64](w)
	default:
		return sumWindows[int64, int64](w)
	}
}

func sumWindows[T, Sum Number](w Weights) Weights {
	values, sums := unsafe.Slice((*T)(w.data), w.length), make([]Sum, w.layers*w.experts)
	for len(values) > 0 {
		for i := range sums {
			sums[i] += Sum(values[i])
		}
		values = values[len(sums):]
	}
	return NewWeights(sums, w.layers, w.experts)
}

// doubles returns the values in float64.
func (w Weights) doubles() []float64 {
	switch w.dtype {
	case Float32:
		return convert[float32](w)
	case Float64:
		return convert[float64](w)
	case Int32:
		return convert[int32](w)
	default:
		return convert[int64](w)
	}
}

func convert[T Number](w Weights) []float64 {
	all := make([]float64, w.length)
	for i, value := range unsafe.Slice((*T)(w.data), w.length) {
		all[i] = float64(value)
	}
	return all
}

// size is that of an element in bytes.
func (d DType) size() int {
	if d == Float32 || d == Int32 {
		return 4
	}
	return 8
}

func dtypeOf[T Number]() DType {
	switch kind := reflect.TypeFor[T]().Kind(); {
	case kind == reflect.Float32:
		return Float32
	case kind == reflect.Float64:
		return Float64
	case reflect.TypeFor[T]().Size() == 4:
		return Int32
	default:
		return Int64
	}
}
