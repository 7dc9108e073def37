package eplb

import (
	"strconv"
	"strings"
	"unsafe"
)

// Path returns where the library was found: a file, or a name that the system's search knows.
func (l *Library) Path() string { return l.path }

// Version returns the version of the library, like "0.1.0".
func (l *Library) Version() string {
	if l.unloaded() != nil {
		return ""
	}
	return l.call.VersionString()
}

// unloaded refuses a Library that Load has not made, whose functions are nil.
func (l *Library) unloaded() error {
	if l == nil || l.call.ContextCreate == nil {
		return errorf(ErrInvalidState, "the library is not loaded: use Load")
	}
	return nil
}

// Backend is what a backend is and can do on this machine.
type Backend struct {
	Name    string   // "cpu" or "cuda"
	Built   bool     // the library has code for it
	Status  Status   // 0 if a context can be created on it, else why not: ErrNotBuilt, ErrNoDriver, ErrNoDevice
	Text    string   // one sentence: why or why not; for the CPU, the instruction set in use
	Devices []string // the names of its devices

	// As CUDA counts, 1000 * major + 10 * minor; 0 means none found, or none needed.
	DriverVersion, DriverNeeded, RuntimeVersion int
}

// Usable tells whether a context can be created on it.
func (b Backend) Usable() bool { return b.Status == 0 }

// Backends describes every backend, usable or not, the CPU first. The first call looks for a CUDA driver.
func (l *Library) Backends() ([]Backend, error) {
	if err := l.unloaded(); err != nil {
		return nil, err
	}
	var list []Backend
	for kind, name := range deviceNames {
		backend, err := l.backend(int32(kind), name)
		if err != nil {
			return nil, err
		}
		list = append(list, backend)
	}
	return list, nil
}

func (l *Library) backend(kind int32, name string) (Backend, error) {
	var found cBackend
	var text [256]byte
	var err cError
	if status := l.call.BackendInit(&found, int64(unsafe.Sizeof(found)), &err); status != 0 {
		return Backend{}, err.check(status)
	}
	if status := l.call.BackendInfo(kind, &found, &text[0], int64(len(text)), &err); status != 0 {
		return Backend{}, err.check(status)
	}
	backend := Backend{
		Name:           name,
		Built:          found.Built != 0,
		Status:         Status(found.Status),
		Text:           textOf(text[:]),
		DriverVersion:  int(found.DriverVersion),
		DriverNeeded:   int(found.DriverNeeded),
		RuntimeVersion: int(found.RuntimeVersion),
	}
	for index := range found.NumDevices {
		var device [128]byte
		if status := l.call.DeviceName(kind, index, &device[0], int64(len(device)), &err); status != 0 {
			return Backend{}, err.check(status)
		}
		backend.Devices = append(backend.Devices, textOf(device[:]))
	}
	return backend, nil
}

// setDevice reads "cpu", "cuda" or "cuda:1"; an empty name leaves the default.
func (o *cContextOptions) setDevice(device string) error {
	if device == "" {
		return nil
	}
	kind, digits, hasIndex := strings.Cut(device, ":")
	index, err := strconv.ParseUint(digits, 10, 31)
	for value, name := range deviceNames {
		if kind == name && (err == nil || !hasIndex) {
			o.DeviceKind, o.DeviceIndex = int32(value), int32(index)
			return nil
		}
	}
	return errorf(ErrInvalidArgument, "device is '%s', must be one of %s, or like 'cuda:1'",
		device, strings.Join(deviceNames, ", "))
}
