package eplb

import (
	"bytes"
	"fmt"
)

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
