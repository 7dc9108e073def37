package eplb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

const (
	environment = "EPLB_LIBRARY"
	file        = "libeplb.so.0"
	// The ABI that this package was written for: another major is another contract, a lower minor lacks functions.
	abiMajor, abiMinor = 1, 2
	// Why a place that is the caller's choice is not looked at. The program's folder is one, too: its permissions do not show
	// everybody who can write there, and a hard link puts the program into any folder.
	notTrusted = "the program has more rights than its caller (setuid, setgid or capabilities of its file), who must not " +
		"choose what it runs: give Load a path, or install the library where the system looks"
)

// Library is a loaded libeplb. It may be used by any number of goroutines at once and stays loaded until the process ends.
type Library struct {
	path string
	call functions
	// What C says a zero field means; copied into every call.
	contextOptions  cContextOptions
	problem         cProblem
	solveOptions    cSolveOptions
	splitOptions    cSplitOptions
	dispatchOptions cStaticDispatchOptions
	report          cReport
}

// LoadError tells that no usable library was found, where Load looked, and what was wrong there.
type LoadError struct {
	Tried []Attempt
	// By whom the only place was named: "by EPLB_LIBRARY" or "by the program". Empty if Load looked where libraries are.
	Named string
}

// Attempt is one place where Load looked.
type Attempt struct {
	Path   string // a file, or a name for the system's search
	Reason string // why it is not the library that is needed
}

// Error lists every place, one a line.
func (e *LoadError) Error() string {
	var text strings.Builder
	text.WriteString("eplb: cannot load the library")
	if e.Named != "" {
		text.WriteString(" named " + e.Named)
	}
	text.WriteString(". Tried:")
	for _, attempt := range e.Tried {
		fmt.Fprintf(&text, "\n  '%s': %s", attempt.Path, attempt.Reason)
	}
	if e.Named == "" && !slices.ContainsFunc(e.Tried, func(a Attempt) bool { return a.Reason == notTrusted }) {
		fmt.Fprintf(&text, "\nSet %s to the path of %s, or put that file next to the program.", environment, file)
	}
	return text.String()
}

// Load opens the library: the one at path, or if that is empty the one that EPLB_LIBRARY names, or if that is not set the
// first usable of libeplb.so.0 next to the program and the system's libeplb.so.0. Who names one gets that one or an error.
// A path without a slash is looked for as the system looks for libraries.
//
// A program that has more rights than its caller, as it is setuid or setgid or its file has capabilities, takes only what it
// names itself, or what the system finds, which then ignores LD_LIBRARY_PATH: it refuses EPLB_LIBRARY, and does not look next
// to itself.
//
// The error is a *LoadError: no such file, no libeplb, an ABI other than 1.x, or a function that is missing.
func Load(path string) (*Library, error) {
	places, named := places(path, isPrivileged())
	failure := &LoadError{Named: named}
	for _, place := range places {
		if place.Reason == "" {
			library, err := open(place.Path)
			if err == nil {
				return library, nil
			}
			place.Reason = err.Error()
		}
		failure.Tried = append(failure.Tried, place)
	}
	return nil, failure
}

// places lists where the library may be, best first, and by whom the only one was named. One with a reason is not for a
// program with more rights than its caller.
func places(path string, privileged bool) (list []Attempt, named string) {
	if path != "" {
		return []Attempt{{Path: path}}, "by the program"
	}
	reason := ""
	if privileged {
		reason = notTrusted
	}
	if path, isSet := os.LookupEnv(environment); isSet {
		return []Attempt{{path, reason}}, "by " + environment
	}
	if program, err := os.Executable(); err == nil {
		list = append(list, Attempt{filepath.Join(filepath.Dir(program), file), reason})
	}
	return append(list, Attempt{Path: file}), ""
}

// isPrivileged tells whether the program has more rights than its caller. The kernel says so in the auxiliary vector, whose
// file in /proc such a program may be unable to read.
func isPrivileged() bool {
	const secure = 23 // AT_SECURE
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "getauxval")
	if err != nil || address == 0 {
		return true
	}
	var getauxval func(kind uint) uint
	purego.RegisterFunc(&getauxval, address)
	return getauxval(secure) != 0
}

func open(path string) (*Library, error) {
	if path == "" {
		return nil, errors.New("it is empty")
	}
	if strings.ContainsRune(path, 0) {
		return nil, errors.New("it has a zero byte in it")
	}
	if strings.ContainsRune(path, filepath.Separator) {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return nil, errors.New("there is no such file")
		}
	}
	// dlerror's text belongs to the thread that failed, and the goroutine could be on another one by then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, err
	}
	library := &Library{path: path}
	if err := library.bind(handle); err != nil {
		purego.Dlclose(handle) // its failure would change nothing: the library is refused already
		return nil, err
	}
	return library, nil
}

// bind looks up every function, the version first: what another version means by the other names is not known. Nothing
// here panics: purego's own RegisterLibFunc would, where a name is missing.
func (l *Library) bind(handle uintptr) error {
	table := reflect.ValueOf(&l.call).Elem()
	for i := range table.NumField() {
		name := table.Type().Field(i).Tag.Get("c")
		address, err := purego.Dlsym(handle, name)
		if err != nil || address == 0 {
			if i == 0 {
				return fmt.Errorf("it has no %s: this is no libeplb", name)
			}
			return fmt.Errorf("it has no %s, which every libeplb of ABI %d.%d has", name, abiMajor, abiMinor)
		}
		purego.RegisterFunc(table.Field(i).Addr().Interface(), address)
		if i == 0 {
			if err := checkVersion(l.call.AbiVersion()); err != nil {
				return err
			}
		}
	}
	return l.readDefaults()
}

func checkVersion(version int32) error {
	major, minor := version>>16, version&0xFFFF
	if major != abiMajor || minor < abiMinor {
		return fmt.Errorf("its ABI is %d.%d, but this package needs %d.%d or a later %d.x",
			major, minor, abiMajor, abiMinor, abiMajor)
	}
	return nil
}

// readDefaults asks for what zero fields mean, and finds out on the way whether the library takes structs of our sizes.
func (l *Library) readDefaults() error {
	var backend cBackend
	return firstRefusal(
		initialize("eplb_context_options", l.call.ContextOptionsInit, &l.contextOptions),
		initialize("eplb_problem", l.call.ProblemInit, &l.problem),
		initialize("eplb_solve_options", l.call.SolveOptionsInit, &l.solveOptions),
		initialize("eplb_split_options", l.call.SplitOptionsInit, &l.splitOptions),
		initialize("eplb_static_dispatch_options", l.call.StaticDispatchOptionsInit, &l.dispatchOptions),
		initialize("eplb_report", l.call.ReportInit, &l.report),
		initialize("eplb_backend", l.call.BackendInit, &backend),
	)
}

func initialize[Struct any](name string, call func(*Struct, int64, *cError) int32, target *Struct) error {
	var err cError
	size := unsafe.Sizeof(*target)
	if call(target, int64(size), &err) != 0 {
		return fmt.Errorf("it does not take %s of %d bytes: %s", name, size, textOf(err.Text[:]))
	}
	return nil
}

func firstRefusal(refusals ...error) error {
	for _, err := range refusals {
		if err != nil {
			return err
		}
	}
	return nil
}
