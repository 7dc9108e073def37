package eplb

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// onlyLoad in the environment makes the test program say what Load("") does, and nothing else.
const onlyLoad = "EPLB_TEST_ONLY_LOAD"

// library is the one that all tests use. Without one the tests fail: a run that tested nothing must not look like one that
// passed.
var library *Library

// fromWeights are the strategies that need weights alone: the other one starts from a placement.
var fromWeights = slices.DeleteFunc(slices.Clone(strategyNames), func(name string) bool { return Strategy(name) == StrategyRebalance })

func TestMain(m *testing.M) {
	if os.Getenv(onlyLoad) != "" {
		loaded, err := Load("")
		if err != nil {
			fmt.Print(err)
		} else {
			fmt.Print("loaded ", loaded.Path())
		}
		os.Exit(0)
	}
	if _, named := os.LookupEnv(environment); !named {
		for _, folder := range []string{"build/release", "build"} {
			path, _ := filepath.Abs(filepath.Join(root, folder, file))
			if _, err := os.Stat(path); err == nil {
				os.Setenv(environment, path)
				break
			}
		}
	}
	var err error
	if library, err = Load(""); err != nil {
		fmt.Fprintf(os.Stderr, "%v\nThe tests need a library: build it with ./dev test, or set %s.\n", err, environment)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func newContext(t testing.TB) *Context {
	t.Helper()
	context, err := library.NewContext(ContextOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { context.Close() })
	return context
}

// Eight experts of one layer on 8 GPUs x 2 slots: the best largest load is 196.67.
var (
	pairs        = []float32{600, 560, 120, 120, 20, 10, 10, 10}
	pairsProblem = Problem{NumSlots: 16, NumGPUs: 8}
)

func pairsWeights() Weights { return NewWeights(pairs, 1, 8) }

// reportOf is for plans whose report there is no reason to miss.
func reportOf(p *Plan) Report {
	report, err := p.Report()
	if err != nil {
		panic(err)
	}
	return report
}

// sample makes weights of a few hot and many cool experts, the same each time.
func sample(layers, experts int, seed uint64) []float32 {
	values := make([]float32, layers*experts)
	for i := range values {
		values[i] = float32(1 + next(&seed)%1024*(next(&seed)%1024))
	}
	return values
}

// next is splitmix64.
func next(state *uint64) uint64 {
	*state += 0x9E3779B97F4A7C15
	x := *state
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// refused checks that an error has a kind and says something.
func refused(t *testing.T, err error, status Status, text string) {
	t.Helper()
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Status != status || !strings.Contains(refusal.Message, text) {
		t.Errorf("got %v, want %v with %q", err, status, text)
	}
}

// compileC makes a program or a shared library of C, or skips.
func compileC(t *testing.T, source string, flags ...string) string {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	folder := t.TempDir()
	path, out := filepath.Join(folder, "source.c"), filepath.Join(folder, "out.so")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := append([]string{"-Wall", "-Werror", "-I", filepath.Join(root, "include"), path, "-o", out}, flags...)
	if text, err := exec.Command(compiler, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

// number reads the vectors' numbers: JSON numbers, or strings where JSON has none (nan, inf) or a double would not hold
// them.
type number string

func (n *number) UnmarshalJSON(text []byte) error {
	*n = number(strings.Trim(string(text), `"`))
	return nil
}

func (n number) float() float64 {
	value, err := strconv.ParseFloat(string(n), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		panic(err)
	}
	return value
}

func (n number) int() int64 {
	value, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func (n number) unsigned() uint64 {
	if n == "" {
		return 0
	}
	value, err := strconv.ParseUint(string(n), 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
