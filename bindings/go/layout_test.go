package eplb

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unsafe"
)

// What is in the header and not here, and why.
var notWrapped = map[string]string{
	"eplb_device_count": "the number of names that eplb_device_name has",
}

// constants by their names in C, without the prefix EPLB_.
func constants() map[string]int32 {
	all := map[string]int32{}
	for name, value := range numbersInGo {
		all[strings.TrimPrefix(name, "EPLB_")] = value
	}
	for prefix, list := range map[string]names{
		"STRATEGY": strategyNames, "EFFORT": effortNames, "POLICY": policyNames, "POLICY_REASON": reasonNames,
		"BOUND": boundNames, "DEVICE": deviceNames, "TRANSFER": transferNames, "OBJECTIVE": objectiveNames,
	} {
		for value, name := range list {
			all[prefix+"_"+strings.ToUpper(name)] = int32(value)
		}
	}
	return all
}

// snake turns NumGpus into num_gpus.
func snake(name string) string {
	var out strings.Builder
	for i, letter := range name {
		if unicode.IsUpper(letter) && i > 0 {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(letter))
	}
	return out.String()
}

func TestLayoutIsTheHeaders(t *testing.T) {
	source := []string{"#include <stddef.h>", "#include <stdio.h>", `#include "eplb.h"`, "int main(void) {"}
	var expected []string
	line := func(c, text string, numbers ...any) {
		source = append(source, c)
		expected = append(expected, fmt.Sprintf(text, numbers...))
	}
	for name, layout := range layouts {
		line(fmt.Sprintf(`printf("%s %%zu\n", sizeof(%s));`, name, name), "%s %d", name, layout.Size())
		for i := range layout.NumField() {
			field := layout.Field(i)
			full := name + "." + snake(field.Name)
			line(fmt.Sprintf(`printf("%s %%zu %%zu\n", sizeof(((%s *)0)->%s), offsetof(%s, %s));`,
				full, name, snake(field.Name), name, snake(field.Name)), "%s %d %d", full, field.Type.Size(), field.Offset)
		}
	}
	for name, value := range constants() {
		line(fmt.Sprintf(`printf("%s %%d\n", (int)EPLB_%s);`, name, name), "%s %d", name, value)
	}
	source = append(source, "return 0; }")
	printed, err := exec.Command(compileC(t, strings.Join(source, "\n"))).Output()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "layout", strings.Split(strings.TrimSpace(string(printed)), "\n"), expected)
}

// No field, struct or constant of the header is missing here, but for what is named above.
func TestNothingOfTheHeaderIsForgotten(t *testing.T) {
	text := header(t)
	for name, body := range groups(text, `(?s)typedef struct (\w+) \{(.*?)\} \w+;`) {
		layout, known := layouts[name]
		if fields := len(regexp.MustCompile(`;`).FindAllString(body, -1)); !known || layout.NumField() != fields {
			t.Errorf("%s has %d fields", name, fields)
		}
	}
	known := constants()
	for name := range groups(text, `\bEPLB_(\w+) = (\d+)`) {
		if _, is := known[name]; !is {
			t.Errorf("EPLB_%s is unknown here", name)
		}
	}
	wrapped := map[string]bool{}
	for i := range reflect.TypeFor[functions]().NumField() {
		wrapped[reflect.TypeFor[functions]().Field(i).Tag.Get("c")] = true
	}
	for name := range groups(text, `(?m)^\w[\w *]*?\b(eplb_\w+)\(([^)]*)\);`) {
		if _, left := notWrapped[name]; left == wrapped[name] {
			t.Errorf("%s is wrapped: %v; named as not wrapped: %v", name, wrapped[name], left)
		}
	}
}

// A function that is called with other types than C has reads and writes where it must not.
func TestSignaturesAreTheHeaders(t *testing.T) {
	prototypes := groups(header(t), `(?m)^\w[\w *]*?\b(eplb_\w+)\(([^)]*)\);`)
	results := groups(header(t), `(?m)^(?:\w[\w *]*?\b)(eplb_\w+)(\()`)
	table := reflect.TypeFor[functions]()
	for i := range table.NumField() {
		name, signature := table.Field(i).Tag.Get("c"), table.Field(i).Type
		if _, known := results[name]; !known {
			t.Errorf("the header has no %s", name)
		}
		var here []string
		for j := range signature.NumIn() {
			here = append(here, inC(signature.In(j)))
		}
		if here == nil {
			here = []string{"void"}
		}
		var there []string
		for _, parameter := range strings.Split(prototypes[name], ",") {
			there = append(there, typeOfParameter(parameter))
		}
		equal(t, name, there, here)
	}
}

// typeOfParameter drops what does not matter to a call: the name, const, and which of int32_t's names is used.
func typeOfParameter(parameter string) string {
	parameter = strings.ReplaceAll(parameter, "const ", "")
	if parameter = strings.TrimSpace(parameter); parameter == "void" {
		return parameter
	}
	base := strings.Fields(parameter)[0]
	switch base {
	case "eplb_status", "eplb_dtype", "eplb_device_kind", "eplb_map", "eplb_transfer_order":
		base = "int32_t"
	}
	return base + strings.Repeat("*", strings.Count(parameter, "*"))
}

func inC(parameter reflect.Type) string {
	switch parameter {
	case reflect.TypeFor[int32]():
		return "int32_t"
	case reflect.TypeFor[int64]():
		return "int64_t"
	case reflect.TypeFor[uint64]():
		return "uint64_t"
	case reflect.TypeFor[float64]():
		return "double"
	case reflect.TypeFor[byte]():
		return "char"
	case reflect.TypeFor[unsafe.Pointer](), reflect.TypeFor[DevicePointer](), reflect.TypeFor[Stream]():
		return "void*"
	case reflect.TypeFor[cHandle]():
		return "eplb_context*"
	}
	for name, layout := range layouts {
		if parameter == layout {
			return name
		}
	}
	if parameter.Kind() == reflect.Pointer {
		return inC(parameter.Elem()) + "*"
	}
	return parameter.String()
}

// header returns eplb.h without its comments.
func header(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "include", "eplb.h"))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(text), "")
}

// groups maps the first group of every match to the second.
func groups(text, pattern string) map[string]string {
	found := map[string]string{}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found[match[1]] = match[2]
	}
	return found
}

func TestStatusNamesAreTheLibrarys(t *testing.T) {
	for status, name := range statusNames {
		if there := library.call.StatusName(int32(status)); there != name || status.String() != name {
			t.Errorf("%d is %s here and %s there", int32(status), name, there)
		}
	}
	if text := Status(99).String(); text != "unknown status 99" {
		t.Error(text)
	}
}
