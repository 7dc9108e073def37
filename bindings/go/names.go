package eplb

import (
	"strconv"
	"strings"
)

// names of constants by their value in C.
type names []string

// orNothing is of where -1 stands for none.
func (n names) orNothing(value int32) string {
	if value == -1 {
		return ""
	}
	return n.of(value)
}

// of returns the name of a value; the number itself for one of a later library.
func (n names) of(value int32) string {
	if value >= 0 && int(value) < len(n) {
		return n[value]
	}
	return strconv.Itoa(int(value))
}

// set writes the value of a name to a field of a C struct; an empty name leaves the default there.
func (n names) set(field *int32, argument, name string) error {
	if name == "" {
		return nil
	}
	for value, each := range n {
		if strings.EqualFold(each, name) {
			*field = int32(value)
			return nil
		}
	}
	return errorf(ErrInvalidArgument, "%s is '%s', must be one of %s", argument, name, strings.Join(n, ", "))
}
