package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const olmoe = "../../../../examples/data/olmoe-1b-7b_allenai_L3xE64.csv"

var (
	figures  = regexp.MustCompile(`window \d: imbalance (.+) before, (\S+) after (\d+) moves, (\d+) of them forced, in (\d+) rounds\n`)
	transfer = regexp.MustCompile(`(?m)^layer [0-2], round \d+: expert \d+ from (storage|GPU \d+) to GPU (\d+)$`)
)

// shifted writes the layers of olmoe in another order in each window: windows of the same shape.
func shifted(t *testing.T, windows int) string {
	t.Helper()
	text, err := os.ReadFile(olmoe)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.SplitAfter(strings.TrimSpace(string(text))+"\n", "\n")[:3]
	var all strings.Builder
	for range windows {
		all.WriteString(strings.Join(rows, "") + "\n")
		rows = append(rows[1:3:3], rows[0])
	}
	path := filepath.Join(t.TempDir(), "windows.csv")
	if err := os.WriteFile(path, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func watch(t *testing.T, arguments ...string) (string, string) {
	t.Helper()
	var transfers, story strings.Builder
	if err := run(arguments, &transfers, &story); err != nil {
		t.Fatal(err)
	}
	if lines := transfer.FindAllString(transfers.String(), -1); len(lines) != strings.Count(transfers.String(), "\n") {
		t.Errorf("%s", transfers.String())
	}
	return transfers.String(), story.String()
}

func TestBudget(t *testing.T) {
	transfers, story := watch(t, "-slots", "80", "-gpus", "16", "-max-moves", "4", shifted(t, 3))
	lines := figures.FindAllStringSubmatch(story, -1)
	if len(lines) != 2 || transfers == "" {
		t.Fatal(story)
	}
	for _, line := range lines {
		moves, err := strconv.Atoi(line[3])
		if err != nil || moves == 0 || moves > 3*4 || line[1] <= line[2] || line[4] != "0" {
			t.Error(line[0])
		}
	}
}

func TestNothingMovesWithoutNeed(t *testing.T) {
	transfers, story := watch(t, "-slots", "80", "-gpus", "16", olmoe, olmoe)
	if line := figures.FindStringSubmatch(story); line == nil || line[1] != line[2] || line[3] != "0" || transfers != "" {
		t.Error(story)
	}
}

func TestDeadGPUs(t *testing.T) {
	transfers, story := watch(t, "-slots", "96", "-gpus", "16", "-kill", "1:3,12", shifted(t, 3))
	if !strings.Contains(story, "GPUs [3 12] are dead\n") || len(figures.FindAllString(story, -1)) != 2 {
		t.Fatal(story)
	}
	for _, line := range transfer.FindAllStringSubmatch(transfers, -1) {
		if line[1] == "GPU 3" || line[1] == "GPU 12" || line[2] == "3" || line[2] == "12" {
			t.Error(line[0])
		}
	}
}

// Two real windows of DeepSeek-V3; they are not part of the repository.
func TestRealTraces(t *testing.T) {
	folder := "../../../../../shared/data/deepseek-v3_prefill-in"
	windows := []string{folder + "512_L58xE256.csv", folder + "1024_L58xE256.csv", folder + "2048_L58xE256.csv"}
	for _, path := range windows {
		if _, err := os.Stat(path); err != nil {
			t.Skip(err)
		}
	}
	var transfers, story strings.Builder
	arguments := append([]string{"-slots", "288", "-gpus", "32", "-effort", "fast", "-max-moves", "16", "-kill", "2:3,17"}, windows...)
	if err := run(arguments, &transfers, &story); err != nil {
		t.Fatal(err)
	}
	if len(figures.FindAllString(story.String(), -1)) != 2 || transfers.Len() == 0 {
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
		"must be WINDOW:GPU,GPU":                 {"-kill", "3", olmoe, olmoe},
		`"x" is no GPU`:                          {"-kill", "1:x", olmoe, olmoe},
		"GPU 16 cannot die: there are GPUs 0":    {"-slots", "80", "-gpus", "16", "-kill", "1:16", olmoe, olmoe},
		"effort is 'quick'":                      {"-slots", "80", "-gpus", "16", "-effort", "quick", olmoe, olmoe},
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
