package eplb

import "unsafe"

// The structs of eplb.h, field for field. A test compiles the header and compares sizes, offsets and constants, and the
// signatures below. Every field is exported, so that reflection can set the functions and the test can read the names.

type cError struct {
	Code int32
	Text [252]byte
}

type cContextOptions struct {
	StructSize  int64
	DeviceKind  int32
	DeviceIndex int32
	NumThreads  int64
}

type cProblem struct {
	StructSize int64
	NumSlots   int64
	NumGpus    int64
	NumNodes   int64
	NumGroups  int64
	Policy     int32
	BoundKind  int32
}

type cSolveOptions struct {
	StructSize  int64
	Strategy    int32
	Effort      int32
	Seed        uint64
	MaxReplicas int64
}

type cReport struct {
	StructSize            int64
	ImbalanceMean         float64
	ImbalanceWorst        float64
	BoundMean             float64
	GapMean               float64
	GapWorst              float64
	Microseconds          float64
	WorstLayer            int64
	Duplicates            int64
	DuplicatesUnavoidable int64
	ContextBytes          int64
	Strategy              int32
	Policy                int32
	PolicyReason          int32
	BoundKind             int32
}

type cBackend struct {
	StructSize     int64
	Built          int32
	Status         int32
	NumDevices     int32
	DriverVersion  int32
	DriverNeeded   int32
	RuntimeVersion int32
}

// cHandle is an eplb_context *, which Go's garbage collector has no business with.
type cHandle uintptr

// functions of the library; the tag is the name in C. C keeps no pointer to Go's memory after a call, and purego keeps all
// of it alive until it returns.
type functions struct {
	AbiVersion    func() int32              `c:"eplb_abi_version"`
	VersionString func() string             `c:"eplb_version_string"`
	StatusName    func(status int32) string `c:"eplb_status_name"`

	BackendInit        func(backend *cBackend, size int64, err *cError) int32        `c:"eplb_backend_init"`
	ContextOptionsInit func(options *cContextOptions, size int64, err *cError) int32 `c:"eplb_context_options_init"`
	ProblemInit        func(problem *cProblem, size int64, err *cError) int32        `c:"eplb_problem_init"`
	SolveOptionsInit   func(options *cSolveOptions, size int64, err *cError) int32   `c:"eplb_solve_options_init"`
	ReportInit         func(report *cReport, size int64, err *cError) int32          `c:"eplb_report_init"`

	BackendInfo func(kind int32, backend *cBackend, text *byte, textLength int64, err *cError) int32 `c:"eplb_backend_info"`
	DeviceName  func(kind, index int32, name *byte, length int64, err *cError) int32                 `c:"eplb_device_name"`

	ContextCreate  func(context *cHandle, options *cContextOptions, err *cError) int32 `c:"eplb_context_create"`
	ContextDestroy func(context cHandle)                                               `c:"eplb_context_destroy"`
	Synchronize    func(context cHandle, err *cError) int32                            `c:"eplb_context_synchronize"`
	Reserve        func(context cHandle, dtype int32, numWindows, numLayers, numExperts int64, problem *cProblem,
		options *cSolveOptions, err *cError) int32 `c:"eplb_context_reserve"`

	UploadWeights func(context cHandle, weights unsafe.Pointer, weightsLength int64, dtype int32,
		numWindows, numLayers, numExperts int64, err *cError) int32 `c:"eplb_upload_weights"`
	Solve    func(context cHandle, problem *cProblem, options *cSolveOptions, err *cError) int32 `c:"eplb_solve"`
	MapShape func(context cHandle, which int32, rank *int32, dims *int64, dimsLength int64,
		err *cError) int32 `c:"eplb_map_shape"`
	FetchMap func(context cHandle, which, dtype int32, buffer unsafe.Pointer, length int64,
		err *cError) int32 `c:"eplb_fetch_map"`

	UploadWeightsDevice func(context cHandle, weights DevicePointer, weightsLength int64, dtype int32,
		numWindows, numLayers, numExperts int64, stream Stream, err *cError) int32 `c:"eplb_upload_weights_device"`
	SolveDevice func(context cHandle, problem *cProblem, options *cSolveOptions, stream Stream,
		err *cError) int32 `c:"eplb_solve_device"`
	FetchMapDevice func(context cHandle, which, dtype int32, buffer DevicePointer, length int64, stream Stream,
		err *cError) int32 `c:"eplb_fetch_map_device"`

	FetchReport func(context cHandle, report *cReport, err *cError) int32 `c:"eplb_fetch_report"`
	Evaluate    func(context cHandle, problem *cProblem, placement unsafe.Pointer, placementLength int64, dtype int32,
		report *cReport, imbalance, bound *float64, duplicates *int64, layersLength int64, err *cError) int32 `c:"eplb_evaluate"`
}
