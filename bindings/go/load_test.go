package eplb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// loadFails loads and returns what was said.
func loadFails(t *testing.T, path string) string {
	t.Helper()
	loaded, err := Load(path)
	var failure *LoadError
	if loaded != nil || !errors.As(err, &failure) || len(failure.Tried) == 0 {
		t.Fatalf("Load(%q) gave %v, %v", path, loaded, err)
	}
	return err.Error()
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

func TestLoadNamesWhatIsNotThere(t *testing.T) {
	folder := t.TempDir()
	noELF := filepath.Join(folder, "text.so")
	if err := os.WriteFile(noELF, []byte("no ELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, reason := range map[string]string{
		"/nowhere/libeplb.so.0":      "there is no such file",
		folder:                       "there is no such file",
		"libnothing_of_this_name.so": "cannot open shared object file",
		noELF:                        noELF + ": ",
	} {
		tried := ". Tried:\n  '" + path + "': "
		contains(t, loadFails(t, path), "eplb: cannot load the library named by the program"+tried, reason)
		t.Setenv(environment, path)
		text := loadFails(t, "")
		contains(t, text, "eplb: cannot load the library named by EPLB_LIBRARY"+tried, reason)
		// Nothing else is tried: a caller that names one library does not want another.
		if strings.Count(text, "\n") != 1 {
			t.Errorf("more than one place:\n%s", text)
		}
	}
	contains(t, loadFails(t, "lib\x00eplb.so"), "it has a zero byte in it")
}

func TestLoadRefusesAnEmptyName(t *testing.T) {
	t.Setenv(environment, "")
	contains(t, loadFails(t, ""), "named by EPLB_LIBRARY. Tried:\n  '': it is empty")
}

// loadInChild loads in a process of its own: the system takes one libeplb.so.0 for another if a process has one already.
func loadInChild(t *testing.T, program string, environment ...string) string {
	t.Helper()
	child := exec.Command(program)
	child.Env = append(environment, onlyLoad+"=1", "LD_LIBRARY_PATH=")
	text, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return string(text)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestLoadSaysWhereItLooked(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := loadInChild(t, program)
	if strings.HasPrefix(text, "loaded ") {
		t.Skip("this machine has a library of its own: " + text)
	}
	contains(t, text, "eplb: cannot load the library. Tried:\n  '"+filepath.Join(filepath.Dir(program), file)+"': there is no such file",
		"\n  'libeplb.so.0': libeplb.so.0: cannot open", "\nSet EPLB_LIBRARY to the path of libeplb.so.0")
}

func TestLoadTakesTheLibraryBesideTheProgram(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	copyFile(t, program, filepath.Join(folder, "program"))
	copyFile(t, library.Path(), filepath.Join(folder, file))
	if text := loadInChild(t, filepath.Join(folder, "program")); text != "loaded "+filepath.Join(folder, file) {
		t.Error(text)
	}
	// A library that is there but cannot be used is reported, and the next place is tried.
	copyFile(t, program, filepath.Join(folder, file))
	contains(t, loadInChild(t, filepath.Join(folder, "program")), filepath.Join(folder, file)+"': ", "'libeplb.so.0': ")
}

// asGroup makes a copy of a file that runs as another group, so with rights that its caller lacks.
func asGroup(t *testing.T, group int, from, to string) {
	t.Helper()
	copyFile(t, from, to)
	if err := os.Chown(to, -1, group); err != nil {
		t.Skip("a file for another group needs root: ", err)
	}
	if err := os.Chmod(to, 0o755|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
}

// A program that has more rights than its caller does not load what the caller chooses.
func TestLoadTrustsNoCallerWithFewerRights(t *testing.T) {
	const group = 65534
	folder := t.TempDir()
	program, id := filepath.Join(folder, "program"), filepath.Join(folder, "id")
	itself, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	original, err := exec.LookPath("id")
	if err != nil {
		t.Skip(err)
	}
	asGroup(t, group, original, id)
	if runs, err := exec.Command(id, "-g").Output(); err != nil || strings.TrimSpace(string(runs)) != fmt.Sprint(group) {
		t.Skipf("programs get no rights of their files here: %s %v", runs, err)
	}
	asGroup(t, group, itself, program)
	named := filepath.Join(folder, "named.so")
	copyFile(t, library.Path(), named)
	// Without more rights both of these would be loaded, see the tests above.
	copyFile(t, library.Path(), filepath.Join(folder, file))
	text := loadInChild(t, program, environment+"="+named)
	contains(t, text, "named by EPLB_LIBRARY. Tried:\n  '"+named+"': the program has more rights than its caller (setuid, ")
	if strings.Count(text, "\n") != 1 {
		t.Errorf("more than one place:\n%s", text)
	}
	text = loadInChild(t, program)
	if text != "loaded "+file { // which is the system's
		contains(t, text, "'"+filepath.Join(folder, file)+"': the program has more rights than its caller (setuid, ",
			"\n  'libeplb.so.0': libeplb.so.0: cannot open")
		if strings.Contains(text, "Set EPLB_LIBRARY") {
			t.Errorf("advice that does not help:\n%s", text)
		}
	}
	// What the program itself names is its own choice.
	if places, named := places(named, true); len(places) != 1 || places[0].Reason != "" || named != "by the program" {
		t.Error(places, named)
	}
}

func TestAnyCallerMayHaveFewRights(t *testing.T) {
	if isPrivileged() {
		t.Error("the tests are said to have more rights than who started them")
	}
}

func TestLoadRefusesWhatIsNotOurs(t *testing.T) {
	contains(t, loadFails(t, compileC(t, "int something;\n", "-shared", "-fPIC")),
		"it has no eplb_abi_version: this is no libeplb")
}

func TestLoadRefusesAnotherABI(t *testing.T) {
	for version, text := range map[int]string{2 << 16: "2.0", 7: "0.7", 0: "0.0", -1: "-1.65535"} {
		fake := compileC(t, fmt.Sprintf("int eplb_abi_version(void) { return %d; }\n", version), "-shared", "-fPIC")
		contains(t, loadFails(t, fake), "its ABI is "+text+", but this package needs 1.2 or a later 1.x")
	}
}

// Every function in turn is missing from a library that has all the others, of this or a later minor.
func TestLoadNamesAMissingFunction(t *testing.T) {
	names := groups(header(t), `(?m)^\w[\w *]*?\b(eplb_\w+)(\()`)
	for missing := range names {
		if _, left := notWrapped[missing]; left || missing == "eplb_abi_version" {
			continue
		}
		source := "int eplb_abi_version(void) { return 1 << 16 | 4; }\n"
		for name := range names {
			if name != missing && name != "eplb_abi_version" {
				source += "int " + name + "(void) { return 0; }\n"
			}
		}
		contains(t, loadFails(t, compileC(t, source, "-shared", "-fPIC")),
			"it has no "+missing+", which every libeplb of ABI 1.2 has")
	}
}

func TestLoadRefusesStructsOfAnotherSize(t *testing.T) {
	source := "#include \"eplb.h\"\n#include <string.h>\nint32_t eplb_abi_version(void) { return 1 << 16 | 2; }\n"
	for name := range groups(header(t), `(?m)^\w[\w *]*?\b(eplb_\w+)(\()`) {
		switch {
		case name == "eplb_problem_init":
			source += "eplb_status eplb_problem_init(eplb_problem *p, int64_t size, eplb_error *err) {\n" +
				"err->code = 1; strcpy(err->text, size == (int64_t)sizeof *p ? \"not these\" : \"?\"); return 1; }\n"
		case name != "eplb_abi_version":
			source = "#define " + name + " declared_" + name + "\n" + source + "#undef " + name + "\nint " + name + "(void) { return 0; }\n"
		}
	}
	contains(t, loadFails(t, compileC(t, source, "-shared", "-fPIC")),
		fmt.Sprintf("it does not take eplb_problem of %d bytes: not these", unsafe.Sizeof(cProblem{})))
}

func TestLoadTakesACopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.so")
	copyFile(t, library.Path(), path)
	copied, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if copied.Path() != path || copied.Version() != library.Version() || copied.Version() == "" {
		t.Errorf("%s of %s", copied.Version(), copied.Path())
	}
	// By the environment, the same; both libraries work side by side.
	t.Setenv(environment, path)
	again, err := Load("")
	if err != nil || again.Path() != path {
		t.Fatal(err)
	}
	for _, each := range []*Library{library, copied, again} {
		context, err := each.NewContext(ContextOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := context.Solve(pairsWeights(), pairsProblem, SolveOptions{}); err != nil {
			t.Error(err)
		}
		context.Close()
	}
}

func TestLoadAgainAndAgain(t *testing.T) {
	mappings := func() int {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Skip(err)
		}
		return strings.Count(string(maps), filepath.Base(library.Path()))
	}
	before := mappings()
	for range 50 {
		if _, err := Load(library.Path()); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	if after := mappings(); after != before {
		t.Errorf("%d mappings before, %d after", before, after)
	}
}

func TestALibraryThatWasNotLoaded(t *testing.T) {
	for _, nothing := range []*Library{nil, {}} {
		_, err := nothing.NewContext(ContextOptions{})
		refused(t, err, ErrInvalidState, "use Load")
		_, err = nothing.Backends()
		refused(t, err, ErrInvalidState, "use Load")
		if nothing.Version() != "" {
			t.Error(nothing.Version())
		}
	}
}
