package eplb

import (
	"bytes"
	"fmt"
)

// Status is what a call of the library answered. It is an error itself, so that the constants below are what errors.Is
// compares with. A newer library may know more statuses.
type Status int32

// The kinds of errors; errors.Is(err, ErrInvalidWeight) asks for one.
const (
	ErrInvalidArgument   Status = 1  // the caller's: a shape, size or name that cannot be
	ErrInvalidState      Status = 2  // the caller's: the wrong order of calls, more than was reserved, two calls at once, after Close
	ErrInvalidWeight     Status = 3  // the data's: NaN, infinite, negative, or a sum that is out of range
	ErrInvalidPlacement  Status = 4  // the data's: Evaluate was given something that is no placement
	ErrUnavailable       Status = 10 // this version has no such strategy or option; also true of the next three
	ErrNotBuilt          Status = 11 // the library was built without that backend
	ErrNoDriver          Status = 12 // no driver for that backend, or one that is too old
	ErrNoDevice          Status = 13 // a driver, but no such device
	ErrOutOfMemory       Status = 20 // also true of the next one
	ErrDeviceOutOfMemory Status = 21
	ErrDeviceError       Status = 22 // the device or its driver failed; the message carries its own words
	ErrInternal          Status = 30 // a bug in libeplb: please report it with the message
)

// Written here too, so that a status has its name before, and without, a library. A test compares them with the header.
var statusNames = map[Status]string{
	0:                    "EPLB_OK",
	ErrInvalidArgument:   "EPLB_INVALID_ARGUMENT",
	ErrInvalidState:      "EPLB_INVALID_STATE",
	ErrInvalidWeight:     "EPLB_INVALID_WEIGHT",
	ErrInvalidPlacement:  "EPLB_INVALID_PLACEMENT",
	ErrUnavailable:       "EPLB_UNAVAILABLE",
	ErrNotBuilt:          "EPLB_NOT_BUILT",
	ErrNoDriver:          "EPLB_NO_DRIVER",
	ErrNoDevice:          "EPLB_NO_DEVICE",
	ErrOutOfMemory:       "EPLB_OUT_OF_MEMORY",
	ErrDeviceOutOfMemory: "EPLB_DEVICE_OUT_OF_MEMORY",
	ErrDeviceError:       "EPLB_DEVICE_ERROR",
	ErrInternal:          "EPLB_INTERNAL_ERROR",
}

// String returns the name that C has for the status, like "EPLB_INVALID_WEIGHT".
func (s Status) String() string {
	if name, known := statusNames[s]; known {
		return name
	}
	return fmt.Sprintf("unknown status %d", int32(s))
}

// Error returns the same as String.
func (s Status) Error() string { return s.String() }

// Is makes ErrUnavailable true of all that this version, build or machine does not have, and ErrOutOfMemory of both
// kinds of memory.
func (s Status) Is(target error) bool {
	switch target {
	case ErrUnavailable:
		return s >= ErrUnavailable && s <= ErrNoDevice
	case ErrOutOfMemory:
		return s == ErrOutOfMemory || s == ErrDeviceOutOfMemory
	}
	return false
}

// Error is a call that was refused. After it the context is as it was, unless the call says otherwise.
type Error struct {
	Status  Status // its kind; never 0
	Message string // one sentence that names the argument and the numbers
}

// Error returns the message, after the name of the package.
func (e *Error) Error() string { return "eplb: " + e.Message }

// Unwrap returns the status, for errors.Is.
func (e *Error) Unwrap() error { return e.Status }

// errorf makes the errors that C cannot see: unknown names, closed contexts.
func errorf(status Status, format string, arguments ...any) error {
	return &Error{status, fmt.Sprintf(format, arguments...)}
}

// check turns what a call answered into an error. The struct is the caller's own, so the text is that of this call
// whatever thread runs now: nothing needs a goroutine to be locked to its thread.
func (e *cError) check(status int32) error {
	if status == 0 {
		return nil
	}
	return &Error{Status(status), textOf(e.Text[:])}
}

// textOf reads a C string; Go's strings may hold what is no UTF-8, but people print errors.
func textOf(characters []byte) string {
	text, _, _ := bytes.Cut(characters, []byte{0})
	return string(bytes.ToValidUTF8(text, []byte("\uFFFD")))
}
