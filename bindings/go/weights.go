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
// order, floats in float64, integers exactly.
func NewWindows[T Number](values []T, windows, layers, experts int) Weights {
	return Weights{unsafe.Pointer(unsafe.SliceData(values)), len(values), dtypeOf[T](), windows, layers, experts}
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
