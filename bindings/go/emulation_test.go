package eplb

import (
	"os"
	"reflect"
	"runtime"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// emulatedEnvironment names a libeplb whose CUDA is emulated on the host, and which exports that CUDA: device memory is host
// memory, and streams go on only when somebody waits.
const emulatedEnvironment = "EPLB_EMULATED_LIBRARY"

// cudaCalls are what tests need of CUDA's runtime, and of tools/emulated_cuda/emulation.h; the tag is the name in C.
type cudaCalls struct {
	SetDevice     func(device int32) int32                                                    `c:"cudaSetDevice"`
	Malloc        func(memory *DevicePointer, bytes uint64) int32                             `c:"cudaMalloc"`
	Free          func(memory DevicePointer) int32                                            `c:"cudaFree"`
	Write         func(to DevicePointer, from unsafe.Pointer, bytes uint64, kind int32) int32 `c:"cudaMemcpy"`
	Read          func(to unsafe.Pointer, from DevicePointer, bytes uint64, kind int32) int32 `c:"cudaMemcpy"`
	StreamCreate  func(stream *Stream, flags uint32) int32                                    `c:"cudaStreamCreateWithFlags"`
	StreamDestroy func(stream Stream) int32                                                   `c:"cudaStreamDestroy"`
	BeginCapture  func(stream Stream, mode int32) int32                                       `c:"cudaStreamBeginCapture"`
	EndCapture    func(stream Stream, graph *uintptr) int32                                   `c:"cudaStreamEndCapture"`
	Instantiate   func(executable *uintptr, graph uintptr, flags uint64) int32                `c:"cudaGraphInstantiate"`
	Launch        func(executable uintptr, stream Stream) int32                               `c:"cudaGraphLaunch"`
	DestroyGraph  func(graph uintptr) int32                                                   `c:"cudaGraphDestroy"`
	DestroyExec   func(executable uintptr) int32                                              `c:"cudaGraphExecDestroy"`
	Count         func(name string) int64                                                     `c:"emulation_count"`
	SetProgress   func(oneIn int32)                                                           `c:"emulation_set_progress"`
	SetCapacity   func(device int32, bytes uint64)                                            `c:"emulation_set_capacity"`
}

// emulation is a library with emulated CUDA devices, and a stream on one of them.
type emulation struct {
	*testing.T
	*Library
	cuda   cudaCalls
	stream Stream
}

// emulated skips without such a library. The test stays on one thread, whose current device is the one given.
func emulated(t *testing.T, device int32) *emulation {
	t.Helper()
	path := os.Getenv(emulatedEnvironment)
	if path == "" {
		t.Skip("no library with an emulated CUDA: " + emulatedEnvironment + " names none")
	}
	loaded, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		t.Fatal(err)
	}
	e := &emulation{T: t, Library: loaded}
	table := reflect.ValueOf(&e.cuda).Elem()
	for i := range table.NumField() {
		purego.RegisterLibFunc(table.Field(i).Addr().Interface(), handle, table.Type().Field(i).Tag.Get("c"))
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	e.cuda.SetProgress(0)
	e.done("cudaSetDevice", e.cuda.SetDevice(device))
	const nonBlocking = 1
	e.done("cudaStreamCreateWithFlags", e.cuda.StreamCreate(&e.stream, nonBlocking))
	t.Cleanup(func() {
		e.done("cudaStreamDestroy", e.cuda.StreamDestroy(e.stream))
		e.done("cudaSetDevice", e.cuda.SetDevice(0))
	})
	return e
}

func (e *emulation) done(what string, status int32) {
	e.Helper()
	if status != 0 {
		e.Fatalf("%s answered %d", what, status)
	}
}

func (e *emulation) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *emulation) context(device string) *Context {
	e.Helper()
	context, err := e.NewContext(ContextOptions{Device: device})
	e.ok(err)
	e.Cleanup(func() { context.Close() })
	return context
}

// room is device memory of the current device, with rubbish in it.
func room[T Number](e *emulation, length int) DeviceArray {
	e.Helper()
	array := DeviceArray{Length: length, DType: dtypeOf[T]()}
	var element T
	e.done("cudaMalloc", e.cuda.Malloc(&array.Pointer, uint64(length)*uint64(unsafe.Sizeof(element))))
	e.Cleanup(func() { e.done("cudaFree", e.cuda.Free(array.Pointer)) })
	return array
}

func put[T Number](e *emulation, values []T) DeviceArray {
	e.Helper()
	array := room[T](e, len(values))
	write(e, array, values)
	return array
}

func write[T Number](e *emulation, array DeviceArray, values []T) {
	e.Helper()
	const hostToDevice = 1
	bytes := uint64(len(values)) * uint64(unsafe.Sizeof(values[0]))
	e.done("cudaMemcpy", e.cuda.Write(array.Pointer, unsafe.Pointer(&values[0]), bytes, hostToDevice))
}

// read does not wait for the stream.
func read[T Number](e *emulation, array DeviceArray) []T {
	e.Helper()
	const deviceToHost = 2
	values := make([]T, array.Length)
	bytes := uint64(len(values)) * uint64(unsafe.Sizeof(values[0]))
	e.done("cudaMemcpy", e.cuda.Read(unsafe.Pointer(&values[0]), array.Pointer, bytes, deviceToHost))
	return values
}

// roomFor is device memory for a map.
func roomFor[T Number](e *emulation, context *Context, which Map) DeviceArray {
	e.Helper()
	shape, err := context.MapShape(which)
	e.ok(err)
	length := 1
	for _, size := range shape {
		length *= size
	}
	return room[T](e, length)
}

// waits counts what may have blocked the host, or got memory.
func (e *emulation) waits() int64 {
	return e.cuda.Count("synchronisations") + e.cuda.Count("allocations")
}
