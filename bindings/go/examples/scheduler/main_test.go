package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const olmoe = "../../../../examples/data/olmoe-1b-7b_allenai_L3xE64.csv"

func TestTwoWindows(t *testing.T) {
	text, err := os.ReadFile(olmoe)
	if err != nil {
		t.Fatal(err)
	}
	// The layers in another order make a second window of the same shape.
	rows := strings.SplitAfter(string(text), "\n")
	second := filepath.Join(t.TempDir(), "second.csv")
	if err := os.WriteFile(second, []byte(strings.Join(append(rows[1:3:3], rows[0]), "")), 0o600); err != nil {
		t.Fatal(err)
	}
	var moves, story strings.Builder
	if err := run([]string{"-slots", "80", "-gpus", "16", olmoe, second, second}, &moves, &story); err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`imbalance (\S+) with the old placement, (\S+) with the new one, (\d+) moves\n`).FindAllStringSubmatch(story.String(), -1)
	if len(numbers) != 2 || numbers[0][1] <= numbers[0][2] || numbers[1][1] != numbers[1][2] || numbers[1][3] != "0" {
		t.Errorf("%s", story.String())
	}
	lines := regexp.MustCompile(`(?m)^layer [0-2]: expert \d+ to GPU \d+$`).FindAllString(moves.String(), -1)
	if len(lines) < 50 || len(lines) != strings.Count(moves.String(), "\n") {
		t.Errorf("%d moves in:\n%s", len(lines), moves.String())
	}
}

// Two real windows of DeepSeek-V3; they are not part of the repository.
func TestRealTraces(t *testing.T) {
	folder := "../../../../../shared/data/deepseek-v3_prefill-in"
	windows := []string{folder + "512_L58xE256.csv", folder + "1024_L58xE256.csv"}
	for _, path := range windows {
		if _, err := os.Stat(path); err != nil {
			t.Skip(err)
		}
	}
	var moves, story strings.Builder
	if err := run(append([]string{"-slots", "288", "-gpus", "32"}, windows...), &moves, &story); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(story.String(), "with the new one, ") || moves.Len() == 0 {
		t.Error(story.String())
	}
}

func TestRefusals(t *testing.T) {
	for text, arguments := range map[string][]string{
		"two windows at least are needed, not 1": {olmoe},
		"num_slots is 0":                         {olmoe, olmoe},
		"num_slots is 81":                        {"-slots", "81", "-gpus", "16", olmoe, olmoe},
		"nowhere.csv":                            {"-slots", "80", "-gpus", "16", olmoe, "nowhere.csv"},
		"flag provided but not defined":          {"-x"},
		"strategy is 'gredy'":                    {"-slots", "80", "-gpus", "16", "-strategy", "gredy", olmoe, olmoe},
	} {
		err := run(arguments, &strings.Builder{}, &strings.Builder{})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v", arguments, err)
		}
	}
	t.Setenv("EPLB_LIBRARY", "/nowhere/libeplb.so.0")
	err := run([]string{olmoe, olmoe}, &strings.Builder{}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "'/nowhere/libeplb.so.0': there is no such file") {
		t.Error(err)
	}
}
