package main

import (
	"encoding/json"
	"strings"
	"testing"
)

const olmoe = "../../../../examples/data/olmoe-1b-7b_allenai_L3xE64.csv"

func TestOneLineOfJSON(t *testing.T) {
	var out strings.Builder
	if err := run([]string{"-seconds", "0.01", "-slots", "80", "-gpus", "16", olmoe}, &out); err != nil {
		t.Fatal(err)
	}
	var printed result
	if err := json.Unmarshal([]byte(out.String()), &printed); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Fatal(out.String(), err)
	}
	if printed.Language != "go" || printed.Runs < 5 || printed.Microseconds <= 0 {
		t.Errorf("%+v", printed)
	}
}

func TestRefusals(t *testing.T) {
	for text, arguments := range map[string][]string{
		"one trace is needed, not 0": {},
		"nowhere.csv":                {"nowhere.csv"},
		"num_slots is 81":            {"-slots", "81", "-gpus", "16", olmoe},
		"flag provided":              {"-x"},
	} {
		if err := run(arguments, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v", arguments, err)
		}
	}
}
